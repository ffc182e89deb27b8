//! Agent ids, chosen by clients.

/// Longest agent id in characters.
pub const MAX_CHARS: usize = 128;

/// An agent's name: 1 to [`MAX_CHARS`] characters, no NUL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(String);

/// Why a text is no agent id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidAgentId {
    /// The text is empty.
    #[error("agent_id must not be empty")]
    Empty,
    /// The text is longer than [`MAX_CHARS`].
    #[error("agent_id has {0} characters; at most {MAX_CHARS} are allowed")]
    TooLong(usize),
    /// PostgreSQL cannot hold NUL in a text.
    #[error("agent_id must not contain the NUL character")]
    Nul,
}

impl AgentId {
    /// Checks `text` and takes it as an agent id.
    pub fn parse(text: &str) -> Result<Self, InvalidAgentId> {
        if text.is_empty() {
            return Err(InvalidAgentId::Empty);
        }
        let chars = text.chars().count();
        if chars > MAX_CHARS {
            return Err(InvalidAgentId::TooLong(chars));
        }
        if text.contains('\0') {
            return Err(InvalidAgentId::Nul);
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        assert_eq!(AgentId::parse(""), Err(InvalidAgentId::Empty));
        assert_eq!(AgentId::parse("a\0"), Err(InvalidAgentId::Nul));
        assert!(AgentId::parse(&"é".repeat(MAX_CHARS)).is_ok());
        assert_eq!(AgentId::parse(&"x".repeat(129)), Err(InvalidAgentId::TooLong(129)));
    }
}
