//! Why a file is not imported, or not all of it, and what to do.

use std::fmt;
use std::io;

use super::client::{ClientError, Refusal};
use crate::domain::memory::agent_id::InvalidAgentId;
use crate::domain::memory::path::InvalidPath;

/// A line that is wrong.
#[derive(Debug)]
pub struct Wrong {
    pub(super) line: u64,
    pub(super) why: String,
}

/// Why a file is not imported, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The agent's name is invalid.
    #[error("--agent: {0}")]
    Agent(#[from] InvalidAgentId),
    /// The prefix is invalid.
    #[error("--prefix: {0}")]
    Prefix(#[from] InvalidPath),
    /// The file cannot be read.
    #[error("{file} cannot be read: {error}")]
    Read {
        /// The file.
        file: String,
        /// The error.
        #[source]
        error: io::Error,
    },
    /// It is being imported already.
    #[error("{0} is already being imported by another process; wait until that ends")]
    UnderWay(String),
    /// Its progress cannot be recorded.
    #[error(
        "{file}, which records the progress of the import, cannot be read or written: {error}; import a copy of the file from a folder that you can write to"
    )]
    State {
        /// The file.
        file: String,
        /// The error.
        #[source]
        error: io::Error,
    },
    /// The import that has begun is another one.
    #[error(
        "{file} belongs to an import with {difference}; finish that one, or remove the file to start over"
    )]
    AnotherImport {
        /// The file of its state.
        file: String,
        /// What differs.
        difference: String,
    },
    /// What was imported is not what the file has now.
    #[error(
        "the first {line} lines have changed since they were imported; restore them, or remove {file} to start over"
    )]
    Changed {
        /// The file of its state.
        file: String,
        /// How many were imported.
        line: u64,
    },
    /// Lines are wrong, so that nothing was sent.
    #[error(
        "nothing was imported in this run; fix or remove these lines, and run it again:{}",
        Listed(.lines, *.count)
    )]
    Wrong {
        /// The first of them.
        lines: Vec<Wrong>,
        /// How many there are.
        count: u64,
    },
    /// The server refuses a line.
    #[error("line {line}: {refusal}; {done}")]
    Refused {
        /// The line.
        line: u64,
        /// Why.
        refusal: Refusal,
        /// What was done before, and how to go on.
        done: Done,
    },
    /// The server cannot be asked, or refuses whatever comes.
    #[error("{error}; {done}")]
    Stopped {
        /// Why.
        #[source]
        error: ClientError,
        /// What was done before, and how to go on.
        done: Done,
    },
}

/// What an import that stopped has done.
#[derive(Debug)]
pub struct Done {
    pub(super) entries: u64,
    pub(super) line: u64,
    pub(super) can_go_on: bool,
}

impl ImportError {
    /// Whether the same command may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::UnderWay(_) => true,
            Self::Refused { refusal, .. } => refusal.is_daily(),
            Self::Stopped { error, .. } => error.is_transient(),
            _ => false,
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, line, can_go_on } = self;
        write!(f, "imported so far: {entries} entries, up to line {line}; ")?;
        f.write_str(if *can_go_on {
            "run the same command again to resume"
        } else {
            "an import of standard input cannot be resumed, one of a file can"
        })
    }
}

/// Lines that are wrong, one a line.
struct Listed<'a>(&'a [Wrong], u64);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(lines, count) = self;
        lines.iter().try_for_each(|Wrong { line, why }| write!(f, "\n  line {line}: {why}"))?;
        match count - lines.len() as u64 {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}
