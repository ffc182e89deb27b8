//! A shell as an operator has it: PostgreSQL's own programs, and the variables that say which database is meant.

use std::path::{Path, PathBuf};
use std::process::Output;

use reqwest::Url;
use tokio::process::Command;

use super::cli::Said;
use super::database::{Database, shared};

/// A shell for one database of the shared PostgreSQL.
pub struct Shell {
    folder: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Shell {
    /// As the owner of `database`, in `folder`.
    pub fn of_owner(database: &Database, folder: &Path) -> Self {
        Self::new(&database.url, folder)
    }

    /// As a superuser.
    pub fn of_superuser(database: &Database, folder: &Path) -> Self {
        Self::new(&database.superuser_url, folder)
    }

    fn new(database_url: &str, folder: &Path) -> Self {
        let url = Url::parse(database_url).expect("a URL");
        let programs = shared().programs().display();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
        let variables = vec![
            ("PATH", path),
            ("PGHOST", url.host_str().expect("a host").to_owned()),
            ("PGPORT", url.port().expect("a port").to_string()),
            ("PGUSER", url.username().to_owned()),
            ("PGPASSWORD", url.password().expect("a password").to_owned()),
            ("PGDATABASE", url.path().trim_start_matches('/').to_owned()),
            ("DATABASE_URL", database_url.to_owned()),
        ];
        Self { folder: folder.to_owned(), variables }
    }

    /// Runs a line and waits for its end.
    pub async fn run(&self, line: &str) -> Said {
        let Output { status, stdout, stderr } = Command::new("sh")
            .args(["-c", line])
            .current_dir(&self.folder)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .await
            .expect("sh starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Said { code: status.code(), out: text(stdout), err: text(stderr) }
    }

    /// What a line prints; it must succeed and say nothing else.
    pub async fn line(&self, line: &str) -> String {
        let said = self.run(line).await;
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{line}: {said:?}");
        said.text()
    }
}
