//! `RestoreVerified`: whether a backup that is young enough is proven.

use super::records::Recorded;
use super::runs::{Work, is_active, made};
use super::times::Timing;
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::crd::agentfs::Level;
use crate::kit::conditions::{Failure, State, clock};
use crate::kit::sentences::without_full_stop;

/// A backup that is young enough is proven to restore. It never makes Ready false.
pub const RESTORE_VERIFIED: &str = "RestoreVerified";

impl StatusInputs<'_> {
    /// Whether a backup that is young enough is proven.
    pub fn restore_verified(&self) -> Option<State> {
        let timing = self.timing(Work::Verify)?;
        let level = self.level()?;
        let backups = self.observed.backups();
        let proven = backups.newest_proven(level);
        if let Some(field) = self.paused() {
            let last = proven.map(|backup| {
                format!(
                    " The newest verified one is {}, of {}.",
                    backup.name(),
                    clock(backup.snapshot())
                )
            });
            return Some(State::false_because(
                reasons::SUSPENDED,
                format!("{field} is true: no backups are verified.{}", last.unwrap_or_default()),
            ));
        }
        let failure = backups
            .newest_refuted(level)
            .and_then(|backup| self.verification_failed(backup, proven))
            .or_else(|| self.trouble(Work::Verify, backups.last_verification()))
            .or_else(|| self.verification_overdue(&timing, proven));
        if let Some(failure) = failure {
            return Some(State::Failed(failure));
        }
        Some(match proven {
            Some(backup) => verified(backup, level),
            None if self.is_sealed() => sealed("verify"),
            None => State::unknown(reasons::NOT_VERIFIED_YET, self.not_verified_yet(&timing)),
        })
    }

    /// Whether nothing here can read the backups that are made.
    pub fn is_sealed(&self) -> bool {
        self.plan.parts.backup.wanted.enabled().is_some_and(|backup| !backup.can_be_read())
    }

    /// How much of a backup is to be tried.
    pub fn level(&self) -> Option<Level> {
        Some(self.plan.parts.backup.wanted.enabled()?.spec.verify.level)
    }

    fn verification_failed(
        &self,
        backup: &Recorded<'_>,
        proven: Option<&Recorded<'_>>,
    ) -> Option<Failure> {
        let found = backup.refutation()?;
        let why = found.message.as_deref().unwrap_or("it does not say why");
        let left = proven.map_or_else(
            || "No other backup is verified".to_owned(),
            |left| {
                format!("The newest verified one is {}, of {}", left.name(), clock(left.snapshot()))
            },
        );
        Some(Failure::new(
            reasons::VERIFICATION_FAILED,
            format!(
                "The backup {} of {} was verified at {} and does not restore: {}",
                backup.name(),
                clock(backup.snapshot()),
                clock(found.time.0),
                without_full_stop(why)
            ),
            format!(
                "{left}. Make another backup and verify that; {}; then {}",
                self.how_to_run(Work::Backup),
                self.how_to_run(Work::Verify)
            ),
        ))
    }

    fn verification_overdue(
        &self,
        timing: &Timing,
        proven: Option<&Recorded<'_>>,
    ) -> Option<Failure> {
        let since = proven.map(Recorded::snapshot).or_else(|| made(self.cronjob(Work::Verify)?))?;
        if self.observed.now.duration_since(since) <= timing.max_age {
            return None;
        }
        let hours = timing.max_age.as_hours();
        let (namespace, name) = (&self.plan.owner.namespace, self.plan.names.verify());
        Some(Failure::new(
            reasons::VERIFICATION_OVERDUE,
            format!(
                "No backup after {} is verified, and the newest verified one may be at most {hours} hours old",
                clock(since)
            ),
            format!(
                "Check that the CronJob runs (kubectl describe cronjob -n {namespace} {name}), and that \
                 spec.backup.verify.maxAgeHours is more than the longest interval of the schedule; {}",
                self.how_to_run(Work::Verify)
            ),
        ))
    }

    fn not_verified_yet(&self, timing: &Timing) -> String {
        if self.cronjob(Work::Verify).is_some_and(is_active) {
            return "The first verification is under way.".into();
        }
        match timing.schedule.next(self.observed.now) {
            Some(next) => {
                format!(
                    "No backup is verified yet; the next verification is due at {}.",
                    clock(next)
                )
            }
            None => "No backup is verified yet.".into(),
        }
    }
}

/// What is said where nothing here can decrypt a backup, and so nothing can `verb` it.
pub fn sealed(verb: &str) -> State {
    State::unknown(
        reasons::NOT_VERIFIABLE,
        format!(
            "The backups are encrypted, and nothing here can decrypt one to {verb} it: name an age identity in \
             spec.backup.encryption.identitySecretRef, or verify them where you keep it (agentfs-server verify)."
        ),
    )
}

/// What is said of the newest backup that is proven to `level`.
fn verified(backup: &Recorded<'_>, level: Level) -> State {
    let (name, of) = (backup.name(), clock(backup.snapshot()));
    if let Some(proof) = backup.proof(Level::Restore) {
        return State::true_because(
            reasons::VERIFIED,
            format!(
                "The backup {name} of {of} was restored and compared at {}.",
                clock(proof.time.0)
            ),
        );
    }
    let read = backup.proof(level).map(|proof| format!(" at {}", clock(proof.time.0)));
    State::unknown(
        reasons::ARCHIVE_VERIFIED,
        format!(
            "The backup {name} of {of} was read completely{}. Whether it restores is not known; spec.backup.verify.level: \
             Restore checks that.",
            read.unwrap_or_default()
        ),
    )
}
