//! The progress of an import, in a file beside the one that is imported, so that it can be resumed after any end.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::lines::Place;

/// What an import is, and how far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Begins the idempotency keys of the import.
    pub(super) id: Uuid,
    pub(super) url: String,
    pub(super) agent: String,
    pub(super) prefix: String,
    /// Puts that are committed.
    pub(super) puts: u64,
    /// Lines that are done, their bytes, and the digest of these.
    pub(super) line: u64,
    pub(super) offset: u64,
    pub(super) sha256: String,
}

impl State {
    /// That of a new import, before its first line.
    pub(super) fn new(url: &str, agent: &str, prefix: &str) -> Self {
        let place = Place::default();
        Self {
            id: Uuid::now_v7(),
            url: url.to_owned(),
            agent: agent.to_owned(),
            prefix: prefix.to_owned(),
            puts: 0,
            line: place.line,
            offset: place.offset,
            sha256: place.digest(),
        }
    }

    /// What differs between two imports, if anything does.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let pairs = [
            ("--url", &self.url, &other.url),
            ("--agent", &self.agent, &other.agent),
            ("--prefix", &self.prefix, &other.prefix),
        ];
        let (option, one, _) = pairs.into_iter().find(|(_, one, another)| one != another)?;
        Some(format!("{option} {one:?}"))
    }

    /// All before the place is done.
    pub(super) fn reach(&mut self, place: &Place) {
        (self.line, self.offset, self.sha256) = (place.line, place.offset, place.digest());
    }
}

/// The file of a state.
#[derive(Debug)]
pub(super) struct StateFile(PathBuf);

impl StateFile {
    /// That of the import of a file.
    pub(super) fn beside(file: &Path) -> Self {
        Self(with_ending(file, ".import"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// What it holds; `None` where it is not there.
    pub(super) fn load(&self) -> io::Result<Option<State>> {
        match fs::read(&self.0) {
            Ok(json) => Ok(Some(serde_json::from_slice(&json)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces what it holds. At any moment, and after any end, it is one state or the other.
    pub(super) fn save(&self, state: &State) -> io::Result<()> {
        let new = with_ending(&self.0, ".new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(state)?)?;
        file.sync_data()?;
        fs::rename(&new, &self.0)
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.0)
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_kept_and_belongs_to_one_import() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::beside(&folder.path().join("notes.jsonl"));
        assert!(file.path().ends_with("notes.jsonl.import"));
        assert_eq!(file.load().unwrap(), None);
        let state = State::new("http://a", "ada", "/old");
        for puts in [1, 2] {
            file.save(&State { puts, ..state.clone() }).unwrap();
        }
        let loaded = file.load().unwrap().unwrap();
        assert_eq!(loaded, State { puts: 2, ..state.clone() });
        assert_eq!(loaded.difference(&state), None);
        let other = State::new("http://a", "bob", "/old");
        assert_eq!(loaded.difference(&other).unwrap(), "--agent \"ada\"");
        file.remove().unwrap();
        assert_eq!(file.load().unwrap(), None);
    }
}
