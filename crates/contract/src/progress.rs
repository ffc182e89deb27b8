//! How far a command of recovery is, as its pod answers `GET /progress` on the port of `PROGRESS_PORT` while it works.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The path.
pub const PATH: &str = "/progress";

/// How far it is. A field that is not known is left out; a newer release may add more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The step that is under way, for example `load`; the names are those of the steps in the reports.
    pub step: String,
    /// What it is at: a table or an index, or what is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// How much of the step is done, from 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// The backup that it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// Versions that a restore in place is about to take away, as far as is known before the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_versions: Option<i64>,
    /// Since when what was restored in place is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched_at: Option<Timestamp>,
    /// How long requests waited for that at most, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch_seconds: Option<f64>,
}

impl Progress {
    /// Reads an answer; `None` where it is something else.
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out_and_what_is_new_is_passed_over() {
        let progress = Progress { step: "load".into(), percent: Some(37), ..Progress::default() };
        let written = serde_json::to_string(&progress).unwrap();
        assert_eq!(written, r#"{"step":"load","percent":37}"#);
        let newer = br#"{"step":"load","percent":37,"bytes":5}"#;
        assert_eq!(Progress::read(newer), Some(progress));
        assert_eq!(Progress::read(b"<html>"), None);
    }
}
