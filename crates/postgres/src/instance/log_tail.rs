//! What PostgreSQL's programs wrote to the log since a moment.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How many complaints a sentence quotes.
const QUOTED: usize = 3;

/// The log from where it ended when this value was made.
pub(super) struct LogTail {
    path: PathBuf,
    from: u64,
}

impl LogTail {
    /// Remembers where the log ends now.
    pub(super) fn from_here(path: &Path) -> Self {
        let from = fs::metadata(path).map_or(0, |log| log.len());
        Self { path: path.to_owned(), from }
    }

    /// The last complaints since then, for the end of a sentence.
    pub(super) fn complaints(&self) -> String {
        complaints_of(&self.text())
    }

    /// Whether the start failed because the system still holds what a killed PostgreSQL had, or a port was taken.
    pub(super) fn speaks_of_held_resources(&self) -> bool {
        let text = self.text();
        [
            "pre-existing shared memory block",
            "Address already in use",
            "postmaster.pid\" already exists",
        ]
        .iter()
        .any(|sign| text.contains(sign))
    }

    fn text(&self) -> String {
        let read = || {
            let mut log = File::open(&self.path)?;
            log.seek(SeekFrom::Start(self.from))?;
            let mut bytes = Vec::new();
            log.read_to_end(&mut bytes)?;
            std::io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_default()
    }
}

fn complaints_of(text: &str) -> String {
    let grave = ["FATAL:", "PANIC:", "ERROR:", "error:", "cannot "];
    let all: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let complaints: Vec<&str> = all
        .iter()
        .filter_map(|line| grave.iter().find_map(|sign| line.find(sign)).map(|at| &line[at..]))
        .collect();
    let quoted = if complaints.is_empty() { &all } else { &complaints };
    let quoted = &quoted[quoted.len().saturating_sub(QUOTED)..];
    if quoted.is_empty() { "it said nothing".to_owned() } else { quoted.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_come_before_chatter() {
        let log = "2026-01-01 00:00:00 UTC [7] LOG:  starting\n\
                   2026-01-01 00:00:00 UTC [7] FATAL:  could not map memory\n\
                   2026-01-01 00:00:00 UTC [7] LOG:  shut down\n";
        assert_eq!(complaints_of(log), "FATAL:  could not map memory");
        assert_eq!(complaints_of("one\ntwo\n"), "one; two");
        assert_eq!(complaints_of(""), "it said nothing");
    }

    #[test]
    fn only_what_is_new_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "FATAL:  Address already in use\n").unwrap();
        let tail = LogTail::from_here(&path);
        assert!(!tail.speaks_of_held_resources());
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("FATAL:  could not bind: Address already in use\n");
        fs::write(&path, text).unwrap();
        assert!(tail.speaks_of_held_resources());
    }
}
