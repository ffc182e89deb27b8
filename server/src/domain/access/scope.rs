//! Scopes: the permissions of an API key.

use std::str::FromStr;

/// A permission of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Get, list and other reads.
    MemoryRead,
    /// Put and delete.
    MemoryWrite,
    /// Search.
    SearchRead,
    /// Everything, including the creation of keys.
    Admin,
}

/// The scopes of a new key that names none.
pub const DEFAULT_SCOPES: [Scope; 3] = [Scope::MemoryRead, Scope::MemoryWrite, Scope::SearchRead];

impl Scope {
    const ALL: [Self; 4] = [Self::MemoryRead, Self::MemoryWrite, Self::SearchRead, Self::Admin];

    /// The scope's name in the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MemoryRead => "memory:read",
            Self::MemoryWrite => "memory:write",
            Self::SearchRead => "search:read",
            Self::Admin => "admin",
        }
    }
}

/// A text that names no scope.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a scope; scopes are memory:read, memory:write, search:read and admin")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.chars().take(80).collect()))
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether the set holds `scope`, or `admin`, which implies all.
    pub fn allow(self, scope: Scope) -> bool {
        self.0 & (bit(scope) | bit(Scope::Admin)) != 0
    }

    /// The names of the scopes in the set.
    pub fn names(self) -> Vec<String> {
        Scope::ALL
            .into_iter()
            .filter(|&scope| self.0 & bit(scope) != 0)
            .map(|scope| scope.as_str().to_owned())
            .collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | bit(scope)))
    }
}

fn bit(scope: Scope) -> u8 {
    1 << scope as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_implies_all_and_nothing_else_does() {
        let admin: Scopes = [Scope::Admin].into_iter().collect();
        let reader: Scopes = [Scope::MemoryRead].into_iter().collect();
        assert!(Scope::ALL.into_iter().all(|s| admin.allow(s)));
        assert!(reader.allow(Scope::MemoryRead) && !reader.allow(Scope::MemoryWrite));
        assert!(!Scopes::default().allow(Scope::MemoryRead));
        assert_eq!(reader.names(), ["memory:read"]);
    }

    #[test]
    fn names_round_trip() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert!("write".parse::<Scope>().is_err());
    }
}
