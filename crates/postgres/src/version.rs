//! PostgreSQL's version, as its programs print it.

use std::fmt;
use std::ops::RangeInclusive;

/// The major versions that AgentFS supports.
pub const SUPPORTED: RangeInclusive<u32> = 16..=18;

/// A version of PostgreSQL as it prints itself: "18.4", or "19beta1".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    major: u32,
    text: String,
}

impl Version {
    /// The major version, which decides who can read whose data.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Reads the answer of `--version` of any of the programs: "postgres (PostgreSQL) 17.5 (Debian 17.5-1)".
    pub fn parse(said: &str) -> Option<Self> {
        let text = said.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?;
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        Some(Self { major: text[..digits].parse().ok()?, text: text.to_owned() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_postgres_prints_them() {
        let read =
            |said| Version::parse(said).map(|version| (version.major(), version.to_string()));

        assert_eq!(read("postgres (PostgreSQL) 18.4"), Some((18, "18.4".into())));
        assert_eq!(
            read("postgres (PostgreSQL) 17.5 (Debian 17.5-1.pgdg13+1)"),
            Some((17, "17.5".into()))
        );
        assert_eq!(read("postgres (PostgreSQL) 19beta1"), Some((19, "19beta1".into())));
        assert_eq!(read("postgres (PostgreSQL) devel"), None);
        assert_eq!(read("bash, version 5.2"), None);
    }

    #[test]
    fn versions_are_read_as_pg_dump_prints_them() {
        let major = |said| Version::parse(said).map(|version| version.major());
        assert_eq!(major("pg_dump (PostgreSQL) 17.5 (Debian 17.5-1.pgdg13+1)"), Some(17));
        assert_eq!(major("pg_dump (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(major("pg_dump"), None);
    }
}
