//! Which models lie in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use super::known::{KNOWN, Known};
use super::weights::FILE;

/// A model that lies in a folder and is not read yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it is.
    pub known: &'static Known,
    /// Where it lies.
    pub folder: PathBuf,
}

/// The models in `parent`, each in a folder of its name or below it in one a version; the one that finds most first.
pub fn models_in(parent: &Path) -> Vec<Found> {
    let find = |known: &'static Known| {
        let folder = newest(&parent.join(known.name))?;
        Some(Found { known, folder })
    };
    KNOWN.iter().filter_map(find).collect()
}

/// The folder itself, or its newest version.
fn newest(folder: &Path) -> Option<PathBuf> {
    if folder.join(FILE).is_file() {
        return Some(folder.to_owned());
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let versions = entries.map(|entry| entry.path()).filter(|path| path.join(FILE).is_file());
    versions.max_by_key(|path| version(path))
}

/// `None` for what is no version, which comes before all that are.
fn version(path: &Path) -> Option<Vec<u32>> {
    path.file_name()?.to_str()?.split('.').map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_by_the_names_of_their_folders_and_the_best_comes_first() {
        let parent = tempfile::tempdir().unwrap();
        let places = [
            "bge-small-en-v1.5",
            "all-MiniLM-L6-v2/0.9.0",
            "all-MiniLM-L6-v2/0.10.0",
            "all-MiniLM-L6-v2/0.11.0.new/model",
            "all-mpnet-base-v2/0.0.1",
            "another",
        ];
        for place in places {
            let folder = parent.path().join(place);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(FILE), "").unwrap();
        }
        fs::create_dir_all(parent.path().join("empty")).unwrap();
        let found: Vec<_> = models_in(parent.path())
            .into_iter()
            .map(|found| (found.known.name, found.folder))
            .collect();
        let at = |place: &str| parent.path().join(place);
        assert_eq!(
            found,
            [
                ("all-mpnet-base-v2", at("all-mpnet-base-v2/0.0.1")),
                ("all-MiniLM-L6-v2", at("all-MiniLM-L6-v2/0.10.0")),
                ("bge-small-en-v1.5", at("bge-small-en-v1.5")),
            ]
        );
        assert!(models_in(&at("bge-small-en-v1.5")).is_empty(), "that is one model");
        assert!(models_in(&at("nowhere")).is_empty());
    }
}
