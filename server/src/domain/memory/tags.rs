//! The tags of a value.

use crate::domain::at_most::AtMost;

/// Most tags of one value.
pub const MAX_TAGS: usize = 20;
/// Longest tag in characters.
pub const MAX_TAG_CHARS: usize = 64;

/// Why a list of tags is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidTags {
    /// More than [`MAX_TAGS`].
    #[error("tags has {0} items; at most {MAX_TAGS} are allowed")]
    TooMany(usize),
    /// A tag is longer than [`MAX_TAG_CHARS`].
    #[error("a tag has {0} characters; at most {MAX_TAG_CHARS} are allowed")]
    TooLong(usize),
    /// PostgreSQL cannot hold NUL in a text.
    #[error("a tag must not contain the NUL character")]
    Nul,
}

/// Tags as they come with a request.
pub type TagList = AtMost<String, MAX_TAGS>;

/// The tags of a value, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags(Vec<String>);

impl Tags {
    /// Checks `tags` and takes them.
    pub fn new(tags: TagList) -> Result<Self, InvalidTags> {
        let tags = tags.all().map_err(InvalidTags::TooMany)?;
        for tag in &tags {
            let chars = tag.chars().count();
            if chars > MAX_TAG_CHARS {
                return Err(InvalidTags::TooLong(chars));
            }
            if tag.contains('\0') {
                return Err(InvalidTags::Nul);
            }
        }
        Ok(Self(tags))
    }

    /// The tags in the order they were given.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let new = |tags: Vec<String>| Tags::new(tags.into());
        assert!(new(vec!["é".repeat(64); 20]).is_ok());
        assert_eq!(new(vec![String::new(); 21]), Err(InvalidTags::TooMany(21)));
        assert_eq!(new(vec!["x".repeat(65)]), Err(InvalidTags::TooLong(65)));
        assert_eq!(new(vec!["\0".into()]), Err(InvalidTags::Nul));
    }
}
