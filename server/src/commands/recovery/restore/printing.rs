//! A restore in place, or its undoing, as it is printed.

use std::fmt;

use agentfs_contract::termination::{LostVersions, RestoreReport, kept_until};
use serde::Serialize;

use super::Failure;
use super::arguments::RestoreArgs;
use crate::commands::output::{Seconds, Table};
use crate::recovery::restore::in_place::lost::write_to;
use crate::recovery::restore::in_place::{Switched, drop_expired};
use crate::runtime::exit::write_termination_message;
use crate::settings::DatabaseUrl;

/// Most tenants of those that lost versions that are shown to people; JSON has all.
const MAX_TENANTS: usize = 20;

/// Seconds from which on requests did not wait, but were refused.
const AWAY: f64 = 5.0;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Act {
    Restored,
    Undone,
    Redone,
}

/// What is printed.
#[derive(Debug, Serialize)]
pub(super) struct Printed {
    done: Act,
    /// Of all tenants together.
    lost_versions: i64,
    #[serde(flatten)]
    switched: Switched,
}

impl Printed {
    pub(super) fn new(done: Act, switched: Switched) -> Self {
        let done = if switched.redone { Act::Redone } else { done };
        Self { done, lost_versions: switched.lost.iter().map(|lost| lost.versions).sum(), switched }
    }

    /// What was done, in one sentence.
    pub(super) fn sentence(&self) -> String {
        let Switched { backup, switched_at, switch_seconds, .. } = &self.switched;
        let done = match self.done {
            Act::Restored => format!("Restored {backup} in place"),
            Act::Undone => format!("Undone: the restore of {backup}"),
            Act::Redone => {
                format!("Redone: the restore of {backup}, which was undone, is live again")
            }
        };
        if *switch_seconds >= AWAY {
            return format!(
                "{done}; live since {switched_at:.0}, and requests were not served for {switch_seconds:.0} s before"
            );
        }
        let waited = switch_seconds * 1000.0;
        format!("{done}; live since {switched_at:.0}, and requests waited {waited:.0} ms at most")
    }

    /// Tells Kubernetes and whoever asked, and where that is wanted lists in a file each version that is not live any more.
    pub(super) async fn tell(&self, args: &RestoreArgs, url: &DatabaseUrl) -> Result<(), Failure> {
        write_termination_message(&self.for_kubernetes().write());
        let printed = args.output.print(self).map_err(|error| Failure::of_output(&error));
        if let Some(path) = &args.lost_to {
            write_to(url, path).await?;
        }
        if self.keeps_nothing() {
            drop_expired(url).await;
        }
        printed
    }

    /// Whether the time of what was live before is over at once.
    fn keeps_nothing(&self) -> bool {
        kept_until(self.switched.switched_at, self.switched.previous_until).is_none()
    }

    /// What the operator reads.
    fn for_kubernetes(&self) -> RestoreReport {
        let Switched { lost, .. } = &self.switched;
        let of_tenant = lost.iter().map(|lost| LostVersions {
            tenant: lost.tenant.to_string(),
            versions: lost.versions,
            from: lost.from,
            to: lost.to,
        });
        RestoreReport {
            restore: self.switched.id.clone(),
            backup: self.switched.backup.clone(),
            undone: self.done != Act::Restored,
            switched_at: self.switched.switched_at,
            switch_seconds: self.switched.switch_seconds,
            lost_versions: self.lost_versions,
            lost_tenants: lost.len(),
            lost: of_tenant.collect(),
            serving_seconds: self.switched.serving_seconds,
            indexed_seconds: self.switched.indexed_seconds,
            previous_until: self.switched.previous_until,
            steps: self.switched.steps.clone(),
        }
    }
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let serving_seconds = self.switched.serving_seconds;
        let since = match self.done {
            Act::Restored => "the backup",
            Act::Undone | Act::Redone => "the switch",
        };
        if self.switched.had_switched {
            writeln!(f, "An interrupted run had already switched; this one completed it.")?;
        }
        writeln!(f, "{}", self.sentence())?;
        if !self.switched.steps.is_empty() {
            writeln!(f, "{}", Seconds(&self.switched.steps))?;
        }
        write!(f, "Serving after {serving_seconds:.1} s, ")?;
        match self.switched.indexed_seconds {
            Some(seconds) => write!(f, "indexed after {seconds:.1} s.")?,
            None => write!(
                f,
                "not indexed: semantic search is exact and slower until `agentfs-server admin embeddings index MODEL` has built \
                 the index of each model."
            )?,
        }
        if self.switched.lost.is_empty() {
            write!(f, "\nNothing that was written since {since} is known to be lost.")?;
        } else {
            self.print_lost(f)?;
        }
        self.switched.notes.iter().try_for_each(|note| write!(f, "\n{note}"))?;
        let until = self.switched.previous_until;
        if self.keeps_nothing() {
            return write!(f, "\nIt cannot be undone: what was live before is dropped now.");
        }
        write!(
            f,
            "\nUndo it by `agentfs-server restore --undo`, until {until:.0}; `restore --drop-previous` frees its space before. With \
             `--restore {}`, a retry never undoes twice.",
            self.switched.id
        )
    }
}

impl Printed {
    fn print_lost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = &self.switched.lost;
        let what = if self.lost_versions == 1 { "version" } else { "versions" };
        writeln!(f, "\nNo longer live: {} {what}.", self.lost_versions)?;
        let rows = lost.iter().take(MAX_TENANTS).map(|lost| {
            let at = |at: jiff::Timestamp| format!("{at:.0}");
            [lost.tenant.to_string(), lost.versions.to_string(), at(lost.from), at(lost.to)]
        });
        write!(f, "{}", Table::new(["TENANT", "VERSIONS", "FROM", "TO"], rows))?;
        match lost.len().saturating_sub(MAX_TENANTS) {
            0 => Ok(()),
            more => write!(f, "\nand {more} tenants more: --output json has all of them"),
        }
    }
}

#[cfg(test)]
mod tests {
    use agentfs_contract::verification::Step;
    use uuid::Uuid;

    use super::*;
    use crate::store::in_place::lost::Lost;

    fn switched() -> Switched {
        let at = |text: &str| text.parse().unwrap();
        Switched {
            id: "0199aaaa-0000-7000-8000-000000000000".into(),
            backup: "agentfs_20261127_020000".into(),
            redone: false,
            switched_at: at("2026-11-28T14:08:00.123Z"),
            switch_seconds: 0.011,
            previous_until: at("2026-11-29T14:08:00Z"),
            had_switched: false,
            lost: vec![Lost {
                tenant: Uuid::nil(),
                versions: 312,
                from: at("2026-11-27T02:01:00Z"),
                to: at("2026-11-28T14:07:00Z"),
            }],
            steps: vec![Step { name: "load".into(), seconds: 31.0 }],
            serving_seconds: 36.04,
            indexed_seconds: Some(80.0),
            notes: vec!["2 keys were left out.".into()],
        }
    }

    #[test]
    fn what_happened_is_told_with_how_to_undo_it() {
        assert_eq!(
            Printed::new(Act::Restored, switched()).to_string(),
            "Restored agentfs_20261127_020000 in place; live since 2026-11-28T14:08:00Z, and requests waited 11 ms at most\n  \
             load     31.00 s\n\
             Serving after 36.0 s, indexed after 80.0 s.\n\
             No longer live: 312 versions.\n\
             TENANT                                VERSIONS  FROM                  TO\n\
             00000000-0000-0000-0000-000000000000  312       2026-11-27T02:01:00Z  2026-11-28T14:07:00Z\n\
             2 keys were left out.\n\
             Undo it by `agentfs-server restore --undo`, until 2026-11-29T14:08:00Z; `restore --drop-previous` frees its space before. \
             With `--restore 0199aaaa-0000-7000-8000-000000000000`, a retry never undoes twice."
        );
        let quiet =
            Switched { lost: vec![], indexed_seconds: None, had_switched: true, ..switched() };
        let told = Printed::new(Act::Undone, quiet).to_string();
        for words in [
            "An interrupted run",
            "Undone: the restore of",
            "admin embeddings index MODEL",
            "Nothing that was written since the switch",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }

    #[test]
    fn what_undoes_an_undoing_is_no_undoing() {
        let printed = Printed::new(Act::Undone, Switched { redone: true, ..switched() });
        assert!(printed.to_string().starts_with("Redone: the restore of agentfs_20261127_020000"));
        assert!(RestoreReport::read(&printed.for_kubernetes().write()).unwrap().undone);
    }

    #[test]
    fn programs_and_the_operator_get_all_of_it() {
        let printed = Printed::new(Act::Restored, switched());
        let json = serde_json::to_value(&printed).unwrap();
        assert_eq!(
            (json["done"].as_str(), json["lost_versions"].as_i64()),
            (Some("restored"), Some(312))
        );
        assert_eq!(json["lost"][0]["versions"], 312);
        let report = RestoreReport::read(&printed.for_kubernetes().write()).unwrap();
        assert_eq!((report.lost_versions, report.lost_tenants, report.undone), (312, 1, false));
        assert_eq!(report.lost[0].tenant, Uuid::nil().to_string());
    }
}
