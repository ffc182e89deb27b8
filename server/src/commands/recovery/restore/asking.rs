//! Asks before something is taken out of the live memory.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use agentfs_contract::people::duration;
use jiff::SignedDuration;
use tokio::runtime::Handle;
use tokio::task::{block_in_place, spawn_blocking};

use super::Failure;
use crate::recovery::restore::Kept;
use crate::recovery::restore::in_place::{InPlaceError, Plan};
use crate::recovery::{RecoveryError, size};
use crate::runtime::signals::{Shutdown, shutdown};

/// Who may agree.
#[derive(Debug)]
pub(super) struct Asking {
    /// Whether that was done beforehand.
    has_agreed: bool,
    /// What came of the question.
    answer: Cell<Answer>,
}

/// What comes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// There is nobody to ask.
    Nobody,
    /// A signal came in its place.
    Ended,
    /// It would drop so many versions for good, which `--yes` does not agree to.
    Dropping(i64),
}

impl Asking {
    /// With `--yes` nobody is asked.
    pub(super) fn new(has_agreed: bool) -> Self {
        Self { has_agreed, answer: Cell::new(Answer::No) }
    }

    /// Shows what is about to be done on standard error, and asks whether it shall be. It may be called within the runtime.
    pub(super) fn agrees(&self, to: &impl fmt::Display) -> bool {
        eprintln!("{to}");
        if self.has_agreed {
            return true;
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            self.answer.set(Answer::Nobody);
            return false;
        }
        // From before the question on: a signal that comes while it is shown ends it as well.
        let ended = shutdown();
        eprint!("Continue? [y/N] ");
        io::stderr().flush().ok();
        let answer = match ended {
            Ok(ended) => block_in_place(|| Handle::current().block_on(answer(ended))),
            Err(_) => Answer::No,
        };
        if answer == Answer::Ended {
            // The line of the question has no end yet.
            eprintln!();
        }
        self.answer.set(answer);
        answer == Answer::Yes
    }

    /// The same of a restore that drops versions for good, which `--undo` could still bring back. That takes an answer: whoever repeats a
    /// command, or restores twice in an emergency, has not agreed to it by `--yes`.
    pub(super) fn agrees_to_drop(&self, restoring: &Restoring<'_>) -> bool {
        if !self.has_agreed {
            return self.agrees(restoring);
        }
        eprintln!("{restoring}");
        self.answer.set(Answer::Dropping(restoring.plan.dropped_versions));
        false
    }

    /// What to say of an error: where nobody has agreed, why not.
    pub(super) fn explain(&self, error: RecoveryError) -> Failure {
        match error {
            RecoveryError::InPlace(InPlaceError::NotAgreed) => self.not_agreed(),
            error => error.into(),
        }
    }

    /// Why nobody has agreed.
    pub(super) fn not_agreed(&self) -> Failure {
        match self.answer.get() {
            Answer::Nobody => Failure::said(
                "nothing was changed: this needs your agreement, and there is no terminal to ask on; add --yes",
            ),
            Answer::Ended => Failure {
                is_transient: true,
                ..Failure::said("nothing was changed: a signal ended it before it was answered")
            },
            Answer::Dropping(versions) => Failure::said(format!(
                "nothing was changed: this restore drops what was live before an earlier one, and with it {}, which --yes does not agree \
                 to. Run `agentfs-server restore --undo` to make that live again, or `agentfs-server restore --drop-previous` to give it up; \
                 then run this again",
                match versions {
                    1 => "1 version that is not live".to_owned(),
                    versions => format!("{versions} versions that are not live"),
                }
            )),
            Answer::Yes | Answer::No => RecoveryError::from(InPlaceError::NotAgreed).into(),
        }
    }
}

/// Reads an answer, unless it has `ended` before.
async fn answer(ended: Shutdown) -> Answer {
    let line = spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    tokio::select! {
        line = line => match line {
            Ok(Ok(line)) if is_yes(&line) => Answer::Yes,
            _ => Answer::No,
        },
        () = ended => Answer::Ended,
    }
}

fn is_yes(line: &str) -> bool {
    ["y", "yes"].iter().any(|yes| line.trim().eq_ignore_ascii_case(yes))
}

/// Bytes that hardly any volume lacks.
const LITTLE: u64 = 1 << 30;
/// What is said where the free space is not known.
const CHECK: &str =
    "the free space cannot be measured from here: check the database's volume with df";

/// Which versions go for good with the previous tables.
const DROPPED: &str = "for good, unless the backup has them: they are only in what was live before an earlier restore, which this one drops. \
     --undo brings them back now, but not after this restore";

/// What a restore in place is about to do.
pub(super) struct Restoring<'a> {
    pub(super) plan: &'a Plan,
    /// How long it can be undone.
    pub(super) keep_previous: Duration,
}

impl fmt::Display for Restoring<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { backup, snapshot_at, was_verified, needed_bytes, free_bytes, .. } = self.plan;
        let verified =
            if *was_verified { "verified by a restore" } else { "not verified by a restore" };
        writeln!(f, "Restoring {backup} in place, as of {snapshot_at:.0}; {verified}.")?;
        writeln!(f, "  lost   {}", lost(self.plan.lost_versions, "the backup"))?;
        match self.plan.dropped_versions {
            0 => {}
            1 => writeln!(f, "  lost   1 version {DROPPED}")?,
            versions => writeln!(f, "  lost   {versions} versions {DROPPED}")?,
        }
        match SignedDuration::try_from(self.keep_previous) {
            Ok(kept) if !kept.is_zero() => {
                writeln!(f, "  undo   possible for {} afterwards", duration(kept))?;
            }
            _ => writeln!(f, "  undo   impossible")?,
        }
        if *needed_bytes == 0 {
            write!(f, "  space  no more than the live data takes")?;
            return notes(f, &self.plan.notes);
        }
        write!(f, "  space  about {} needed, ", size(*needed_bytes))?;
        match free_bytes {
            Some(bytes) => write!(f, "{} free", size(*bytes))?,
            None if *needed_bytes <= LITTLE => write!(f, "{CHECK}")?,
            None => write!(
                f,
                "{CHECK}, and pass it as --free-space SIZE: the restore then ends before the volume is full, which would stop \
                 the live database too"
            )?,
        }
        notes(f, &self.plan.notes)
    }
}

/// What an undoing is about to do.
pub(super) struct Undoing<'a>(pub(super) &'a Plan, pub(super) &'a [Kept]);

impl fmt::Display for Undoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Undoing the restore of {}: what was live before it becomes live again.",
            self.0.backup
        )?;
        if let [last, ..] = self.1 {
            writeln!(f, "  of     {}", which(last))?;
        }
        match self.0.lost_versions {
            0 => write!(f, "  lost   nothing: all that is live now was live before")?,
            1 => write!(f, "  lost   1 version that is live now and was not before")?,
            versions => {
                write!(f, "  lost   {versions} versions that are live now and were not before")?;
            }
        }
        notes(f, &self.0.notes)?;
        others(f, self.1)
    }
}

/// Which restore it is, and where what was live before it is.
pub(super) fn which(kept: &Kept) -> String {
    let Kept { restore, backup, switched_at, place } = kept;
    format!("{restore} ({backup}, {switched_at:.0}), kept as {place}")
}

/// What is kept beside, and is not meant.
pub(super) fn others(f: &mut fmt::Formatter<'_>, kept: &[Kept]) -> fmt::Result {
    kept.iter().skip(1).try_for_each(|other| {
        write!(
            f,
            "\n  note   What was live before an earlier restore is kept too: {}. --undo and --drop-previous apply to it once that of the last one is dropped.",
            which(other)
        )
    })
}

fn lost(versions: i64, since: &str) -> String {
    match versions {
        0 => format!("nothing: no version newer than {since} is known"),
        1 => format!("about 1 version that was written since {since}"),
        versions => format!("about {versions} versions that were written since {since}"),
    }
}

fn notes(f: &mut fmt::Formatter<'_>, notes: &[String]) -> fmt::Result {
    notes.iter().try_for_each(|note| write!(f, "\n  note   {note}"))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn plan() -> Plan {
        Plan {
            backup: "agentfs_20261127_020000".into(),
            snapshot_at: "2026-11-27T02:00:00.5Z".parse().unwrap(),
            was_verified: true,
            lost_versions: 312,
            dropped_versions: 0,
            needed_bytes: 3 << 30,
            free_bytes: Some(40 << 30),
            notes: vec!["It is of another database.".into()],
        }
    }

    fn restoring(plan: &Plan) -> String {
        Restoring { plan, keep_previous: Duration::from_hours(24) }.to_string()
    }

    #[test]
    fn a_restore_says_how_long_it_can_be_undone() {
        let never = Restoring { plan: &plan(), keep_previous: Duration::ZERO }.to_string();
        assert!(never.contains("\n  undo   impossible\n"), "{never}");
    }

    #[test]
    fn a_restore_says_what_it_costs() {
        assert_eq!(
            restoring(&plan()),
            "Restoring agentfs_20261127_020000 in place, as of 2026-11-27T02:00:00Z; verified by a restore.\n  \
             lost   about 312 versions that were written since the backup\n  \
             undo   possible for 24h afterwards\n  \
             space  about 3.0 GiB needed, 40.0 GiB free\n  \
             note   It is of another database."
        );
        let again = restoring(&Plan { dropped_versions: 31, lost_versions: 0, ..plan() });
        for words in
            ["\n  lost   31 versions for good", "--undo brings them back now, but not after"]
        {
            assert!(again.contains(words), "{words}: {again}");
        }
        let unknown = Plan { was_verified: false, free_bytes: None, lost_versions: 0, ..plan() };
        let told = restoring(&unknown);
        for words in [
            "not verified by a restore",
            "check the database's volume with df",
            "--free-space SIZE",
            "lost   nothing",
        ] {
            assert!(told.contains(words), "{told}");
        }
        let little = restoring(&Plan { needed_bytes: 32 << 20, ..unknown });
        assert!(
            little.contains("about 32.0 MiB needed, the free space cannot be measured"),
            "{little}"
        );
        assert!(!little.contains("--free-space"), "{little}");
        let kept = |place: &str| Kept {
            restore: Uuid::nil(),
            backup: "b".into(),
            switched_at: "2026-11-27T03:00:00Z".parse().unwrap(),
            place: place.into(),
        };
        let told = Undoing(&plan(), &[kept("one"), kept("other")]).to_string();
        for words in [
            "  of     00000000-0000-0000-0000-000000000000 (b, 2026-11-27T03:00:00Z), kept as one\n",
            "is kept too: ",
            "kept as other.",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(told.contains("Undoing") && told.contains("were not before"), "{told}");
        assert!(!told.contains("space"), "{told}");
    }

    #[test]
    fn what_takes_the_room_of_what_is_live_asks_for_none() {
        let told = restoring(&Plan { needed_bytes: 0, free_bytes: None, ..plan() });
        assert!(
            told.contains("space  no more than the live data takes")
                && !told.contains("--free-space")
        );
    }

    #[test]
    fn only_yes_is_yes() {
        for (line, is) in [
            ("y\n", true),
            ("Yes\n", true),
            ("\n", false),
            ("", false),
            ("yep\n", false),
            ("n\n", false),
        ] {
            assert_eq!(is_yes(line), is, "{line:?}");
        }
    }

    #[test]
    fn what_was_agreed_to_beforehand_is_not_asked() {
        assert!(Asking::new(true).agrees(&"all"));
    }

    #[test]
    fn what_goes_for_good_was_not_agreed_to_beforehand() {
        let asking = Asking::new(true);
        let plan = &Plan { dropped_versions: 31, ..plan() };
        let keep_previous = Duration::from_hours(24);
        assert!(!asking.agrees_to_drop(&Restoring { plan, keep_previous }));
        let Failure { sentence, is_transient, .. } = asking.not_agreed();
        assert!(!is_transient, "{sentence}");
        for words in ["nothing was changed", "31 versions", "--yes", "--undo", "--drop-previous"] {
            assert!(sentence.contains(words), "{words}: {sentence}");
        }
    }
}
