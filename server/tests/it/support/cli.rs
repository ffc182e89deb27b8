//! The program as it is called from a shell.

use std::process::Command;

use serde_json::Value;

use super::database::Database;

/// What a command came to.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Its standard output; it must have succeeded.
    #[track_caller]
    pub fn text(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out.trim_end().to_owned()
    }

    /// Its standard output as JSON; it must have succeeded.
    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.text()).expect("JSON")
    }

    /// The sentence of its failure.
    #[track_caller]
    pub fn failure(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert_eq!((self.out.as_str(), self.err.lines().count()), ("", 1), "{self:?}");
        self.err
    }
}

/// Runs `agentfs-server` with arguments, and variables besides those of this process.
pub fn agentfs(arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
        .args(arguments)
        .env_remove("DATABASE_URL")
        .envs(variables.iter().copied())
        .output()
        .expect("agentfs-server starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs `agentfs-server admin` on a database.
pub fn admin(database: &Database, arguments: &[&str]) -> Said {
    agentfs(&[&["admin"], arguments].concat(), &[("DATABASE_URL", &database.url)])
}

/// Runs `agentfs-server admin` on a database for its JSON.
pub fn admin_json(database: &Database, arguments: &[&str]) -> Value {
    admin(database, &[arguments, &["--output", "json"]].concat()).json()
}
