//! What can go wrong with the PostgreSQL of one machine, each as a sentence that says what to do.

use std::io;
use std::path::{Path, PathBuf};

/// A failure to find PostgreSQL, to run it, or to end it. The sentences name the options of `agentfs-server dev`.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// A file, folder or process could not be handled by the operating system.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, such as "make the folder".
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// What the data is to be kept in is a file.
    #[error("{0} is a file, not a folder: give a folder by --data-dir.")]
    NoFolder(
        /// The file.
        PathBuf,
    ),
    /// The folder given by `--pg-bin` cannot be used.
    #[error(
        "--pg-bin {path}: {reason}. Give the folder that holds initdb and postgres of PostgreSQL 16 to 18 with pgvector."
    )]
    Unusable {
        /// The folder that was given.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No PostgreSQL was given, cached or installed that can be used.
    #[error(
        "no PostgreSQL 16 to 18 with pgvector was found{}. Run scripts/pgserver, which needs python3 and pip, or install one \
         (Debian trixie: apt-get install postgresql-17-pgvector), or give its folder by --pg-bin.",
        looked_at(.0)
    )]
    NotFound(
        /// Each folder that was looked at, with what is wrong with it.
        Vec<String>,
    ),
    /// No PostgreSQL of one major version was found that can be used.
    #[error(
        "no PostgreSQL {major} with pgvector was found{}, and a throwaway server has to be of the same major version. Install one (Debian: \
         apt-get install postgresql-{major}-pgvector; in a checkout: scripts/pgserver {major}), give its folder by --pg-bin, or name a server of your \
         own by --scratch-url.",
        looked_at(.refused)
    )]
    NoMajor {
        /// The major version.
        major: u32,
        /// Each folder that was looked at, with what is wrong with it.
        refused: Vec<String>,
    },
    /// This process is root, and its program cannot change the user.
    #[error(
        "PostgreSQL cannot run as root, and this program does not change its user. Start it as an ordinary user (in the image that is \
         65532), or name a server of your own by --scratch-url."
    )]
    Root,
    /// The user of this process has no name, without which initdb does nothing.
    #[error(
        "initdb needs a name for the user {0}, and this machine has none. Start the program as a user with a name (in the image that is \
         65532), add a line to /etc/passwd, or name a server of your own by --scratch-url."
    )]
    Nameless(
        /// The user's number.
        u32,
    ),
    /// The unprivileged user that PostgreSQL has to run as cannot enter a folder.
    #[error(
        "PostgreSQL cannot run as root, so it runs as the user {user}, who cannot reach {path}, because {closed} is closed to \
         that user. {remedy}, or open the folder yourself (chmod o+x {closed})."
    )]
    Closed {
        /// The user.
        user: String,
        /// What the user has to reach.
        path: PathBuf,
        /// The folder on the way that does not let the user in.
        closed: PathBuf,
        /// What to do in place of opening the folder.
        remedy: &'static str,
    },
    /// Root has no user to run PostgreSQL as.
    #[error(
        "PostgreSQL cannot run as root, and this machine has neither a user postgres nor a user nobody. Make one (useradd --system \
         postgres), or start agentfs-server as an ordinary user."
    )]
    NoAccount,
    /// Existing data belongs to somebody that this process cannot run PostgreSQL as.
    #[error(
        "the PostgreSQL data in {path} belongs to {owner}. Start agentfs-server as that user{}, or use another --data-dir.",
        if *.by_root { "" } else { " or as root" }
    )]
    Foreign {
        /// The data.
        path: PathBuf,
        /// Whom it belongs to.
        owner: String,
        /// Whether this process is root.
        by_root: bool,
    },
    /// Another process works on the same data folder.
    #[error("another agentfs-server runs on {0}. Stop it first, or use another --data-dir.")]
    Busy(
        /// The data folder.
        PathBuf,
    ),
    /// The data was made by another major version of PostgreSQL.
    #[error(
        "the data in {path} was made by PostgreSQL {data}, and the programs found are PostgreSQL {programs}. Give the programs of \
         PostgreSQL {data} by --pg-bin, or use another --data-dir."
    )]
    OtherVersion {
        /// The data.
        path: PathBuf,
        /// The version in its PG_VERSION.
        data: String,
        /// The major version of the programs.
        programs: u32,
    },
    /// A PostgreSQL of an earlier run does not end.
    #[error(
        "a PostgreSQL of an earlier run (process {pid}) still works on {path} and does not stop. End it (kill -QUIT {pid}) and try again."
    )]
    LeftoverStays {
        /// The process.
        pid: i32,
        /// Its data.
        path: PathBuf,
    },
    /// A password file is gone, so that nobody can log in any more.
    #[error(
        "{0} is missing or empty: it holds a password of the PostgreSQL beside it. Put it back, or use another --data-dir."
    )]
    PasswordLost(
        /// The file.
        PathBuf,
    ),
    /// initdb or postgres ended where it should not have.
    #[error("{program} failed ({status}): {said}.{}", read_on(.log.as_deref()))]
    Failed {
        /// Which program.
        program: &'static str,
        /// How it ended.
        status: String,
        /// Its last words.
        said: String,
        /// Where to read on; `None` where that is thrown away.
        log: Option<PathBuf>,
    },
    /// PostgreSQL runs and does not accept connections in time.
    #[error("PostgreSQL was not ready after {seconds} s: {source}.{}", read_on(.log.as_deref()))]
    NotReady {
        /// How long it was waited for.
        seconds: u64,
        /// The last attempt's failure.
        source: sqlx::Error,
        /// Where to read on; `None` where that is thrown away.
        log: Option<PathBuf>,
    },
    /// A statement that prepares role, database and extension failed.
    #[error("cannot {action} in the PostgreSQL of {path}: {source}")]
    Sql {
        /// What was tried.
        action: &'static str,
        /// The data folder.
        path: PathBuf,
        /// PostgreSQL's answer.
        source: sqlx::Error,
    },
    /// PostgreSQL ended while it was in use.
    #[error("PostgreSQL ended unexpectedly ({status}).{}", read_on(.log.as_deref()))]
    Ended {
        /// How it ended.
        status: String,
        /// Where to read on; `None` where that is thrown away.
        log: Option<PathBuf>,
    },
    /// The change of user, or what follows it, failed in the new process.
    #[error("cannot {action} to run {program}: {source}")]
    Exec {
        /// What was tried.
        action: &'static str,
        /// The program that was to run.
        program: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
}

/// The sentence that names a log.
fn read_on(log: Option<&Path>) -> String {
    log.map(|log| format!(" Its log is {}.", log.display())).unwrap_or_default()
}

impl PostgresError {
    /// The same of a server whose log is thrown away with its data.
    pub(crate) fn without_log(mut self) -> Self {
        if let Self::Failed { log, .. } | Self::NotReady { log, .. } | Self::Ended { log, .. } =
            &mut self
        {
            *log = None;
        }
        self
    }

    /// Makes the [`PostgresError::Io`] of an attempt: `.map_err(PostgresError::io("read", path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

fn looked_at(refused: &[String]) -> String {
    if refused.is_empty() { String::new() } else { format!(" (looked at {})", refused.join("; ")) }
}
