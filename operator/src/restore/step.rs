//! The step that a restore is at, in one word for people.

use agentfs_contract::progress::Progress;

/// The step that a restore is at, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Waiting,
    Starting,
    Loading,
    Verifying,
    Switching,
    Switched,
    Indexing,
    Done,
    Failed,
}

impl Step {
    /// The word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Starting => "Starting",
            Self::Loading => "Loading",
            Self::Verifying => "Verifying",
            Self::Switching => "Switching",
            Self::Switched => "Switched",
            Self::Indexing => "Indexing",
            Self::Done => "Done",
            Self::Failed => "Failed",
        }
    }

    /// The step that a pod says it is at. A newer server may have others: those are told as what they are between.
    pub(super) fn of(progress: &Progress) -> Self {
        let has_switched = progress.switched_at.is_some();
        match progress.step.as_str() {
            "index" => Self::Indexing,
            _ if has_switched => Self::Switched,
            "fetch" | "archive" | "create" | "tables" | "backup" | "close" | "load" | "build" => {
                Self::Loading
            }
            "compare" | "migrate" | "analyse" | "complete" | "prepare" => Self::Verifying,
            "switch" => Self::Switching,
            _ => Self::Starting,
        }
    }

    /// Whether how much of it is done is worth a word.
    pub(super) fn has_percent(self) -> bool {
        matches!(self, Self::Loading | Self::Verifying | Self::Indexing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: &str) -> Progress {
        Progress { step: step.into(), ..Progress::default() }
    }

    #[test]
    fn each_step_of_the_server_has_its_word() {
        for (step, word) in [
            ("fetch", "Loading"),
            ("load", "Loading"),
            ("build", "Loading"),
            ("close", "Loading"),
            ("compare", "Verifying"),
            ("complete", "Verifying"),
            ("switch", "Switching"),
            ("index", "Indexing"),
            ("", "Starting"),
            ("of a later release", "Starting"),
        ] {
            assert_eq!(Step::of(&at(step)).word(), word, "{step}");
        }
    }

    #[test]
    fn what_has_switched_is_never_before_that_again() {
        let switched_at = Some("2026-11-28T14:08:00Z".parse().unwrap());
        for (step, word) in
            [("switch", "Switched"), ("lost", "Switched"), ("", "Switched"), ("index", "Indexing")]
        {
            let progress = Progress { switched_at, ..at(step) };
            assert_eq!(Step::of(&progress).word(), word, "{step}");
        }
    }
}
