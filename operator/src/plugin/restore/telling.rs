//! What is told of a restore: before it, while it goes on, and at its end.

use jiff::Timestamp;

use crate::crd::AgentFSRestore;
use crate::crd::restore::{InPlace, NewDatabase, Source, Strategy, Target};
use crate::plugin::choose::Made;
use crate::plugin::follow::{Now, end, waits_for};
use crate::plugin::words::{age, grouped, moment, took};

/// What is about to be done, in a line.
pub(super) fn announcement(
    agentfs: &str,
    source: &Source,
    made: Option<&Made<'_>>,
    target: &Target,
) -> String {
    let backup = match (made, &source.id) {
        (Some(made), _) => format!("{} ({})", made.record, made.describe()),
        (None, Some(id)) => format!("{id} (there is no AgentFSBackup of it)"),
        (None, None) => {
            let which = if source.latest_verified {
                "the newest verified backup"
            } else {
                "the newest backup"
            };
            format!("{which} at {}", source.location.as_deref().unwrap_or("its destination"))
        }
    };
    match &target.new_database {
        Some(NewDatabase { name }) => {
            format!("{agentfs}: restoring {backup} into the new database {name}")
        }
        None => format!("{agentfs}: restoring {backup} in place"),
    }
}

/// What cannot be taken back, as the question says it.
pub(super) fn what_is_lost(made: Option<&Made<'_>>, in_place: &InPlace, now: Timestamp) -> String {
    let since = match made {
        Some(made) => format!(
            "All versions written since then ({} ago) will be lost",
            age(&made.facts.snapshot_time, now)
        ),
        None => "All versions written since that backup will be lost".into(),
    };
    if in_place.strategy == Strategy::Clean {
        return format!(
            "{since}, and requests are answered by 503 while it is loaded. It cannot be undone: what is live now is backed up \
             first, and not kept."
        );
    }
    let kept = &in_place.keep_previous;
    if kept.bytes().all(|byte| b"0dhms".contains(&byte)) {
        return format!("{since}. It cannot be undone (--keep-previous {kept}).");
    }
    format!("{since}; what is live now is kept for {kept}, so that it can be undone.")
}

/// Which restore in place of `restores` cannot be undone any more after this one; `None` where none can be now.
pub(super) fn last_to_undo(
    restores: &[AgentFSRestore],
    flags: &str,
    now: Timestamp,
) -> Option<String> {
    let in_place = restores.iter().filter(|restore| restore.spec.new_database().is_none());
    let switched = in_place.filter_map(|restore| {
        let status = restore.status.as_ref()?;
        let at = status.switched_time.as_ref()?.0;
        Some((at, restore.metadata.name.as_deref()?, status.previous_until.as_ref()?))
    });
    let (_, name, until) = switched.max_by_key(|(at, ..)| *at)?;
    (until.0 > now).then(|| {
        format!(
            "After this, {name} can no longer be undone; until {} it can. If you may need what was live before it, undo it first: \
             kubectl agentfs restore --undo {name}{flags}",
            moment(until)
        )
    })
}

/// What is said at the end: what is lost, and how it is undone.
pub(super) fn closing(restore: &AgentFSRestore, flags: &str) -> Vec<String> {
    let status = restore.status.clone().unwrap_or_default();
    let mut lines = Vec::new();
    if let Some(lost) = status.lost_versions {
        lines.push(match lost {
            0 => "no version was lost".to_owned(),
            1 => "1 version is not live any more".to_owned(),
            lost => format!("{} versions are not live any more", grouped(lost)),
        });
    }
    if let (Some(name), Some(until)) = (&restore.metadata.name, &status.previous_until) {
        let until = moment(until);
        lines.push(format!(
            "undo with: kubectl agentfs restore --undo {name}{flags}   (until {until})"
        ));
    }
    lines
}

/// How it stands; `entries` are those of the backup, where that is known.
pub(super) fn now(restore: &AgentFSRestore, entries: Option<i64>) -> Now {
    let status = restore.status.clone().unwrap_or_default();
    let downtime = status.downtime.as_deref();
    let done =
        status.steps.iter().map(|step| line_of(&step.name, step.milliseconds, downtime, entries));
    let far = match (&status.switched_time, status.lost_versions) {
        (Some(at), _) => Some(format!("the backup serves since {}", moment(at))),
        (None, Some(lost)) => Some(format!("about {} versions will be lost", grouped(lost))),
        (None, None) => None,
    };
    let far: Vec<String> = [status.progress.clone(), far].into_iter().flatten().collect();
    Now {
        done: done.collect(),
        step: status.step.clone().unwrap_or_else(|| "Waiting".into()),
        far: far.join("   "),
        waits_for: waits_for(&status.conditions),
        end: end(&status.conditions, status.finished_time.is_some()),
    }
}

/// A step that is done, by its name in the report.
fn line_of(step: &str, milliseconds: i64, downtime: Option<&str>, entries: Option<i64>) -> String {
    let loaded = entries
        .map_or_else(|| "all rows".to_owned(), |entries| format!("{} entries", grouped(entries)));
    let (word, more) = match step {
        "fetch" => ("fetched", ""),
        "archive" => ("read", "the archive"),
        "tables" => ("made", "the tables"),
        "load" => ("loaded", loaded.as_str()),
        "build" => ("built", "the indexes that it serves with"),
        "compare" => ("verified", "each table equals the backup's"),
        "migrate" => ("migrated", ""),
        "analyse" => ("analysed", ""),
        "complete" => ("completed", "owners, rights, settings"),
        "prepare" => ("prepared", ""),
        "backup" => ("backed up", "what is live"),
        "switch" => ("switched", ""),
        "lost" => ("listed", "what was lost"),
        "index" => ("indexed", "the vectors"),
        "carry" => ("carried", "tenants and keys over"),
        "clean" => ("cleaned", ""),
        other => (other, ""),
    };
    // Of the switch it matters how long requests waited for it.
    let time = match (step, downtime) {
        ("switch", Some(downtime)) => downtime.to_owned(),
        _ => took(milliseconds),
    };
    let cells: Vec<&str> = [more, &time].into_iter().filter(|cell| !cell.is_empty()).collect();
    format!("{word:<11} {}", cells.join("   "))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
    use serde_json::{Value, json};

    use super::*;
    use crate::plugin::choose::tests::record;

    #[test]
    fn the_question_names_the_backup_and_what_is_lost() {
        let record = record("memory-x7k2p", 27, Some(("True", "Restore")));
        let made = Made::of(&record).unwrap();
        let source = Source { backup: Some("memory-x7k2p".into()), ..Source::default() };
        let keeping = |time: &str| InPlace { keep_previous: time.into(), ..InPlace::default() };
        let target = Target { in_place: Some(keeping("24h")), new_database: None };
        assert_eq!(
            announcement("memory", &source, Some(&made), &target),
            "memory: restoring memory-x7k2p (2026-11-27 02:00 UTC, verified 2026-11-27 02:04 UTC) in place"
        );
        let now = "2026-11-27T14:07:00Z".parse().unwrap();
        assert_eq!(
            what_is_lost(Some(&made), &keeping("24h"), now),
            "All versions written since then (12h ago) will be lost; what is live now is kept for 24h, so that it can be undone."
        );
        let said = what_is_lost(None, &keeping("0h"), now);
        assert_eq!(
            said,
            "All versions written since that backup will be lost. It cannot be undone (--keep-previous 0h)."
        );
        let clean = InPlace { strategy: Strategy::Clean, ..keeping("24h") };
        let said = what_is_lost(None, &clean, now);
        assert!(said.contains("503") && said.contains("cannot be undone"), "{said}");
    }

    fn restore(status: &Value) -> AgentFSRestore {
        let spec =
            json!({"agentFS": "memory", "source": {"latest": true}, "target": {"inPlace": {}}});
        serde_json::from_value(
            json!({"apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFSRestore",
            "metadata": {"name": "restore-7d2kq"}, "spec": spec, "status": status}),
        )
        .unwrap()
    }

    #[test]
    fn an_earlier_restore_that_can_be_undone_is_named() {
        let of = |name: &str, switched: &str, until: &str| {
            let mut restore = restore(&json!({"switchedTime": switched, "previousUntil": until}));
            restore.metadata.name = Some(name.into());
            restore
        };
        let first = of("first", "2026-11-27T10:00:00Z", "2026-12-04T10:00:00Z");
        let last = of("last", "2026-11-27T12:00:00Z", "2026-11-28T12:00:00Z");
        let restores = [last, first, restore(&json!({"step": "Loading"}))];
        let at = |now: &str| last_to_undo(&restores, " -n agents", now.parse().unwrap());
        assert_eq!(
            at("2026-11-27T14:07:00Z").unwrap(),
            "After this, last can no longer be undone; until 2026-11-28 12:00 UTC it can. If you may need what was live before it, \
             undo it first: kubectl agentfs restore --undo last -n agents"
        );
        assert_eq!(at("2026-11-28T12:00:01Z"), None);
        assert_eq!(last_to_undo(&[], "", Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn each_step_is_told_with_its_time_and_the_switch_with_what_it_cost() {
        let ready = |status: &str| -> Condition {
            serde_json::from_value(
                json!({"type": "Ready", "status": status, "reason": "Succeeded", "message": "Done.",
                "lastTransitionTime": "2026-11-28T14:09:00Z"}),
            )
            .unwrap()
        };
        let mut under_way =
            restore(&json!({"step": "Loading", "progress": "37%", "lostVersions": 312}));
        let stands = now(&under_way, None);
        assert_eq!(
            (stands.step.as_str(), stands.far.as_str()),
            ("Loading", "37%   about 312 versions will be lost")
        );
        under_way.status.as_mut().unwrap().conditions = vec![ready("False")];
        assert_eq!(now(&under_way, None).end, None);

        let mut ended = restore(&json!({
            "step": "Done", "downtime": "11ms", "switchedTime": "2026-11-28T14:08:12Z", "finishedTime": "2026-11-28T14:09:00Z",
            "steps": [{"name": "load", "milliseconds": 31_000}, {"name": "compare", "milliseconds": 4_000},
                {"name": "switch", "milliseconds": 1_900}, {"name": "index", "milliseconds": 22_000}],
        }));
        ended.status.as_mut().unwrap().conditions = vec![ready("True")];
        let stands = now(&ended, Some(1_048_576));
        assert_eq!(
            stands.done,
            [
                "loaded      1,048,576 entries   31 s",
                "verified    each table equals the backup's   4.0 s",
                "switched    11ms",
                "indexed     the vectors   22 s",
            ]
        );
        assert_eq!(stands.end, Some(Ok(())));
    }
}
