//! Tenant names, for people.

/// Longest name in characters.
pub const MAX_CHARS: usize = 200;

/// A tenant's name: 1 to [`MAX_CHARS`] characters, no control characters, no blanks around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantName(String);

/// Why a text is no tenant's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidTenantName {
    /// Nothing, or blanks alone.
    #[error("name must not be empty")]
    Empty,
    /// Longer than [`MAX_CHARS`].
    #[error("name has {0} characters; at most {MAX_CHARS} are allowed")]
    TooLong(usize),
    /// It would break the lines that it is shown in.
    #[error("name must not contain control characters")]
    Control,
}

impl TenantName {
    /// Checks `text` and takes it as a name, without the blanks around it.
    pub fn parse(text: &str) -> Result<Self, InvalidTenantName> {
        let text = text.trim();
        let chars = text.chars().count();
        if chars == 0 {
            Err(InvalidTenantName::Empty)
        } else if chars > MAX_CHARS {
            Err(InvalidTenantName::TooLong(chars))
        } else if text.contains(char::is_control) {
            Err(InvalidTenantName::Control)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        assert_eq!(TenantName::parse(" Acme Ltd ").unwrap().as_str(), "Acme Ltd");
        assert_eq!(TenantName::parse("  "), Err(InvalidTenantName::Empty));
        assert!(TenantName::parse(&"é".repeat(MAX_CHARS)).is_ok());
        assert_eq!(TenantName::parse(&"x".repeat(201)), Err(InvalidTenantName::TooLong(201)));
        assert_eq!(TenantName::parse("a\nb"), Err(InvalidTenantName::Control));
        assert_eq!(TenantName::parse("a\0b"), Err(InvalidTenantName::Control));
    }
}
