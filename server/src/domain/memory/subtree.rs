//! Subtrees: an entry and all entries below it, which are moved or deleted together.

use super::path::{EntryPath, InvalidPath};

/// Most entries of a subtree that is moved or deleted at once.
pub const MAX_ENTRIES: usize = 10_000;
/// Most bytes of the values that are moved at once.
pub const MAX_BYTES: i64 = 64 << 20;

/// Where a subtree is moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    from: EntryPath,
    to: EntryPath,
    overwrite: bool,
}

/// One of the paths lies within the other, or they are the same.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "from {from:?} and to {to:?} are the same path or one is below the other; move to a path outside, and from there in a second step"
)]
pub struct Overlap {
    from: String,
    to: String,
}

impl Destination {
    /// Checks that neither path lies within the other.
    pub fn new(from: EntryPath, to: EntryPath, overwrite: bool) -> Result<Self, Overlap> {
        if is_within(from.as_str(), to.as_str()) || is_within(to.as_str(), from.as_str()) {
            return Err(Overlap { from: from.as_str().into(), to: to.as_str().into() });
        }
        Ok(Self { from, to, overwrite })
    }

    /// The path of the subtree that is moved.
    pub fn from(&self) -> &EntryPath {
        &self.from
    }

    /// Its new path.
    pub fn to(&self) -> &EntryPath {
        &self.to
    }

    /// Whether live entries at new paths are replaced.
    pub fn overwrite(&self) -> bool {
        self.overwrite
    }

    /// The new path of the entry at `path`, which is in the subtree.
    pub fn of(&self, path: &str) -> Result<EntryPath, InvalidPath> {
        let below = path.strip_prefix(self.from.as_str()).unwrap_or_default();
        EntryPath::parse(&format!("{}{below}", self.to.as_str()))
    }
}

/// Whether `path` is `subtree` or below it.
fn is_within(path: &str, subtree: &str) -> bool {
    path.strip_prefix(subtree).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(from: &str, to: &str) -> Result<Destination, Overlap> {
        let [from, to] = [from, to].map(|path| EntryPath::parse(path).unwrap());
        Destination::new(from, to, false)
    }

    #[test]
    fn neither_path_lies_within_the_other() {
        for (from, to) in [("/a", "/a"), ("/a", "/a/b"), ("/a/b/c", "/a/b"), ("/a", "//a/")] {
            let refused = destination(from, to).unwrap_err().to_string();
            assert!(refused.contains("one is below the other"), "{from} {to}: {refused}");
        }
        for (from, to) in [("/a", "/ab"), ("/ab", "/a"), ("/a/b", "/a/c"), ("/a/b", "/c/a/b")] {
            destination(from, to).unwrap();
        }
    }

    #[test]
    fn what_is_below_keeps_its_place() {
        let moved = destination("/a/b", "/c").unwrap();
        assert_eq!(moved.of("/a/b").unwrap().as_str(), "/c");
        assert_eq!(moved.of("/a/b/a/b").unwrap().as_str(), "/c/a/b");
        let longer = destination("/a", &format!("/{}", "x".repeat(500))).unwrap();
        assert!(matches!(longer.of("/a/bcdefghijklmno"), Err(InvalidPath::TooLong(_))));
    }
}
