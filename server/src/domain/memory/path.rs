//! Entry paths, and the prefixes that can be listed.

/// Longest path in characters, after normalisation.
pub const MAX_CHARS: usize = 512;
/// Most segments of a path.
pub const MAX_SEGMENTS: usize = 64;
/// The tree that belongs to AgentFS itself.
const RESERVED: &str = "/sys";

/// A normalised path of an entry: starts with `/`, has at least one segment, no empty, `.` or `..` segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryPath(String);

/// A normalised place in the tree: the root (empty text) or an [`EntryPath`]'s text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

/// Why a text is no path.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidPath {
    /// It does not start with a slash.
    #[error("path must start with '/', got {0:?}")]
    NotAbsolute(String),
    /// The root holds entries but is none.
    #[error("path '/' is the root: it can be listed, but it holds no value")]
    Root,
    /// Too many characters.
    #[error("path has {0} characters; at most {MAX_CHARS} are allowed")]
    TooLong(usize),
    /// Too many segments.
    #[error("path has {0} segments; at most {MAX_SEGMENTS} are allowed")]
    TooDeep(usize),
    /// A `.` or `..` segment.
    #[error("path must not contain the segment {0:?}")]
    Relative(&'static str),
    /// PostgreSQL cannot hold NUL in a text.
    #[error("path must not contain the NUL character")]
    Nul,
    /// The path lies in the tree that is kept for AgentFS itself.
    #[error("path {0:?} is reserved: '/sys' and all under it belong to AgentFS")]
    Reserved(String),
}

impl EntryPath {
    /// Checks and normalises `text`: repeated slashes collapse, a trailing one is dropped.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let normal = normalise(text)?;
        if normal.is_empty() {
            return Err(InvalidPath::Root);
        }
        Ok(Self(normal))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Prefix {
    /// Checks and normalises `text`; `/` is the root.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        normalise(text).map(Self)
    }

    /// The prefix as text, without a trailing slash: the root is empty.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `path` is at the prefix or below it.
    pub fn holds(&self, path: &EntryPath) -> bool {
        path.0.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn normalise(text: &str) -> Result<String, InvalidPath> {
    if !text.starts_with('/') {
        return Err(InvalidPath::NotAbsolute(text.chars().take(80).collect()));
    }
    if text.contains('\0') {
        return Err(InvalidPath::Nul);
    }
    let mut normal = String::with_capacity(text.len());
    let mut segments = 0;
    for segment in text.split('/').filter(|s| !s.is_empty()) {
        match segment {
            "." => return Err(InvalidPath::Relative(".")),
            ".." => return Err(InvalidPath::Relative("..")),
            _ => {}
        }
        segments += 1;
        normal.push('/');
        normal.push_str(segment);
    }
    let chars = normal.chars().count();
    if chars > MAX_CHARS {
        return Err(InvalidPath::TooLong(chars));
    }
    if segments > MAX_SEGMENTS {
        return Err(InvalidPath::TooDeep(segments));
    }
    if normal.strip_prefix(RESERVED).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        return Err(InvalidPath::Reserved(normal));
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn normalises() {
        assert_eq!(EntryPath::parse("//a///b/").unwrap().as_str(), "/a/b");
        assert_eq!(Prefix::parse("/").unwrap().as_str(), "");
        assert_eq!(Prefix::parse("/a/").unwrap().as_str(), "/a");
    }

    #[test]
    fn a_prefix_holds_whole_segments() {
        let holds = |prefix: &str, path: &str| {
            Prefix::parse(prefix).unwrap().holds(&EntryPath::parse(path).unwrap())
        };
        assert!(holds("/", "/a") && holds("/a", "/a") && holds("/a", "/a/b"));
        assert!(!holds("/a", "/ab") && !holds("/a/b", "/a") && !holds("/a_", "/ab/c"));
    }

    #[test]
    fn refuses() {
        assert_eq!(
            EntryPath::parse("notes/lunch").unwrap_err().to_string(),
            "path must start with '/', got \"notes/lunch\""
        );
        assert_eq!(EntryPath::parse("/"), Err(InvalidPath::Root));
        assert_eq!(EntryPath::parse("/a/../b"), Err(InvalidPath::Relative("..")));
        assert_eq!(EntryPath::parse("/a/./b"), Err(InvalidPath::Relative(".")));
        assert_eq!(EntryPath::parse("/a\0b"), Err(InvalidPath::Nul));
        assert_eq!(EntryPath::parse("//sys/x"), Err(InvalidPath::Reserved("/sys/x".into())));
        assert!(EntryPath::parse("/system").is_ok());
        assert!(EntryPath::parse(&format!("/{}", "x".repeat(511))).is_ok());
        assert_eq!(
            EntryPath::parse(&format!("/{}", "x".repeat(512))),
            Err(InvalidPath::TooLong(513))
        );
        assert_eq!(EntryPath::parse(&"/x".repeat(65)), Err(InvalidPath::TooDeep(65)));
        assert!(EntryPath::parse(&"/x".repeat(64)).is_ok());
    }

    proptest! {
        #[test]
        fn a_normal_path_is_its_own_normal_form(text in "/[a-z./ %_\\\\-]{0,40}") {
            if let Ok(path) = EntryPath::parse(&text) {
                prop_assert_eq!(EntryPath::parse(path.as_str()).unwrap(), path.clone());
                prop_assert!(!path.as_str().contains("//") && !path.as_str().ends_with('/'));
            }
        }
    }
}
