//! The records of backups and drills, and what follows from them. Pure.

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::durations::brief;
use crate::crd::agentfs::Level;
use crate::crd::backup::{BackupFacts, VerificationFacts};
use crate::crd::{AgentFSBackup, AgentFSDrill};
use crate::kit::conditions::READY;

/// How much of the database a backup has to hold to count: `Scope::Full` as records write it.
const FULL: &str = "Full";
/// `DrillStatus::result` of a drill that passed.
const SUCCEEDED: &str = "Succeeded";
/// The same of one that did not.
const FAILED: &str = "Failed";

/// A backup that was made.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    record: &'a AgentFSBackup,
    /// What its manifest says.
    pub facts: &'a BackupFacts,
    /// The newest verification of it.
    pub verification: Option<&'a VerificationFacts>,
    /// Since when it is gone from its destination, though nobody removed it by the rules.
    pub vanished: Option<Timestamp>,
}

impl Recorded<'_> {
    /// The name of its record.
    pub fn name(&self) -> String {
        self.record.name_any()
    }

    /// The moment that it holds.
    pub fn snapshot(&self) -> Timestamp {
        self.facts.snapshot_time.0
    }

    /// When it was whole.
    pub fn finished(&self) -> Timestamp {
        self.facts.finished_time.0
    }

    fn is_there(&self) -> bool {
        self.vanished.is_none()
    }

    /// The verification that found it wrong.
    pub fn refutation(&self) -> Option<&VerificationFacts> {
        self.verification.filter(|verification| verification.verified == "False")
    }

    /// The verification that tried so much of it, and more, and found it right.
    pub fn proof(&self, level: Level) -> Option<&VerificationFacts> {
        self.verification.filter(|found| {
            found.verified == "True" && (level == Level::Archive || found.level == "Restore")
        })
    }
}

/// The backups of the whole database that have a record, by the moment that they hold, the oldest first.
#[derive(Clone, Debug)]
pub struct Backups<'a>(Vec<Recorded<'a>>);

impl<'a> Backups<'a> {
    /// Those of these resources, of which some may be requests that have made none yet.
    pub fn of(records: &'a [AgentFSBackup]) -> Self {
        let recorded = |record: &'a AgentFSBackup| {
            let status = record.status.as_ref()?;
            let facts = status.backup.as_ref().filter(|facts| facts.scope == FULL)?;
            let vanished = status.vanished_time.as_ref().map(|time| time.0);
            Some(Recorded { record, facts, verification: status.verification.as_ref(), vanished })
        };
        let mut all: Vec<_> = records.iter().filter_map(recorded).collect();
        all.sort_by_key(Recorded::snapshot);
        Self(all)
    }

    /// Whether no backup has a record.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn there(&self) -> impl DoubleEndedIterator<Item = &Recorded<'a>> {
        self.0.iter().filter(|backup| backup.is_there())
    }

    /// Those that would be restored, as far as is known.
    fn restorable(&self) -> impl DoubleEndedIterator<Item = &Recorded<'a>> {
        self.there().filter(|backup| backup.refutation().is_none())
    }

    /// The newest one that is there.
    pub fn newest(&self) -> Option<&Recorded<'a>> {
        self.there().next_back()
    }

    /// The newest of all, where it is not there any more.
    pub fn newest_if_vanished(&self) -> Option<&Recorded<'a>> {
        self.0.last().filter(|backup| !backup.is_there())
    }

    /// The oldest one that would be restored.
    pub fn oldest_restorable(&self) -> Option<&Recorded<'a>> {
        self.restorable().next()
    }

    /// The newest one that would be restored.
    pub fn newest_restorable(&self) -> Option<&Recorded<'a>> {
        self.restorable().next_back()
    }

    /// The newest one that is there and proven.
    pub fn newest_proven(&self, level: Level) -> Option<&Recorded<'a>> {
        self.there().rfind(|backup| backup.proof(level).is_some())
    }

    /// The newest one that is there and known to be wrong, where none is proven that is as young.
    pub fn newest_refuted(&self, level: Level) -> Option<&Recorded<'a>> {
        let proven = self.newest_proven(level).map(Recorded::snapshot);
        let refuted = self.there().rfind(|backup| backup.refutation().is_some())?;
        Some(refuted).filter(|backup| proven.is_none_or(|proven| proven < backup.snapshot()))
    }

    /// When a backup was tried last, whatever came of it.
    pub fn last_verification(&self) -> Option<Timestamp> {
        self.0.iter().filter_map(|backup| Some(backup.verification?.time.0)).max()
    }

    /// When one was tried and found right last.
    pub fn last_proof(&self, level: Level) -> Option<Timestamp> {
        self.0.iter().filter_map(|backup| Some(backup.proof(level)?.time.0)).max()
    }
}

/// The drills that have ended, by when they did, the oldest first.
#[derive(Clone, Debug)]
pub struct Drills<'a>(Vec<Drilled<'a>>);

/// A drill that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Drilled<'a> {
    record: &'a AgentFSDrill,
    /// When it ended.
    pub finished: Timestamp,
    /// Whether it passed.
    pub passed: bool,
    /// The most time whose writes a disaster would have lost, in whole seconds.
    pub rpo_seconds: Option<i64>,
    /// How long the restore took until the API served, in whole seconds.
    pub rto_seconds: Option<i64>,
}

impl Drilled<'_> {
    /// The name of its record.
    pub fn name(&self) -> String {
        self.record.name_any()
    }

    /// What it measured, in words.
    pub fn measured(&self) -> Option<String> {
        let point = self.rpo_seconds.map(|of| format!("recovery point {}", brief(of)));
        let time = self.rto_seconds.map(|of| format!("recovery time {}", brief(of)));
        let measured: Vec<_> = point.into_iter().chain(time).collect();
        (!measured.is_empty()).then(|| measured.join(", "))
    }

    /// How it ended, as a sentence.
    pub fn message(&self) -> Option<&str> {
        let conditions = &self.record.status.as_ref()?.conditions;
        let ready = conditions.iter().find(|condition| condition.type_ == READY)?;
        Some(ready.message.as_str()).filter(|message| !message.is_empty())
    }
}

impl<'a> Drills<'a> {
    /// Those of these resources.
    pub fn of(records: &'a [AgentFSDrill]) -> Self {
        let drilled = |record: &'a AgentFSDrill| {
            let status = record.status.as_ref()?;
            let result = status.result.as_deref().filter(|of| [SUCCEEDED, FAILED].contains(of))?;
            Some(Drilled {
                record,
                finished: status.finished_time.as_ref()?.0,
                passed: result == SUCCEEDED,
                // What one of a chosen backup measured is the age of that.
                rpo_seconds: status.rpo_seconds.filter(|_| record.spec.backup.is_none()),
                rto_seconds: status.rto_seconds,
            })
        };
        let mut all: Vec<_> = records.iter().filter_map(drilled).collect();
        all.sort_by_key(|drill| drill.finished);
        Self(all)
    }

    /// The newest one.
    pub fn newest(&self) -> Option<&Drilled<'a>> {
        self.0.last()
    }

    /// The newest one that passed.
    pub fn newest_passed(&self) -> Option<&Drilled<'a>> {
        self.0.iter().rfind(|drill| drill.passed)
    }

    /// The newest one that measured how long a restore takes. One that failed before it came to that says nothing of it.
    pub fn newest_measured(&self) -> Option<&Drilled<'a>> {
        self.0.iter().rfind(|drill| drill.rto_seconds.is_some())
    }
}
