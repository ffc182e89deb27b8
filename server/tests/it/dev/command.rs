//! `agentfs-server dev`: PostgreSQL and the API in one command.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::{folder, server};
use crate::support::model::{FAST, models};

/// A running `agentfs-server dev` in a folder of its own.
struct Dev {
    child: Child,
    /// What it said until it was ready.
    said: Vec<String>,
}

impl Dev {
    fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    fn start_with(folder: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = server(&["dev", "--data-dir", "data", "--listen", "0"]);
        command.envs(settings.iter().copied());
        let child = command.current_dir(folder).stderr(Stdio::inherit()).spawn().unwrap();
        let mut dev = Self { child, said: Vec::new() };
        for line in BufReader::new(dev.child.stdout.as_mut().unwrap()).lines() {
            dev.said.push(line.unwrap());
            if dev.said.last().is_some_and(|line| line.starts_with("Try:")) {
                return dev;
            }
        }
        panic!("it ended before it was ready: {:?}", dev.said)
    }

    fn line(&self, beginning: &str) -> &str {
        self.said.iter().find(|line| line.starts_with(beginning)).unwrap()
    }

    fn stop(mut self) {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn settings_are_read_before_anything_is_made() {
    let place = folder();
    let mut command = server(&["dev", "--data-dir", "data", "--listen", "0"]);
    let dev = command.current_dir(place.path()).env("WRITE_QUOTA_PER_DAY", "viele");
    let output = dev.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("WRITE_QUOTA_PER_DAY"), "{said}");
    assert!(!place.path().join("data").exists(), "{said}");
}

/// Runs a line in a shell and reads JSON from it.
fn shell(folder: &Path, line: &str) -> Value {
    let output = Command::new("sh").args(["-c", line]).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error} {said}"))
}

#[test]
fn dev_prints_a_line_that_works_and_keeps_what_it_wrote() {
    let top = folder();
    models();
    let dev = Dev::start(top.path());
    assert!(dev.line("PostgreSQL").contains("data in data/"), "{:?}", dev.said);
    assert!(dev.line("migrations").ends_with("applied"), "{:?}", dev.said);
    assert!(
        dev.line("embedding model").starts_with("embedding model all-mpnet-base-v2 (768)"),
        "{:?}",
        dev.said
    );
    assert!(dev.line("limits").contains("none; settings such as"), "{:?}", dev.said);
    let put = shell(top.path(), dev.line("Try:").trim_start_matches("Try:"));
    assert_eq!(put["ok"], true, "{put}");
    let found = r#". data/dev.env; curl -s "$AGENTFS_URL/v1/search" -H "Authorization: Bearer $AGENTFS_API_KEY" \
        -H 'Content-Type: application/json' -d '{"agent_id":"ada","query":"peanuts"}'"#;
    assert_eq!(shell(top.path(), found)["results"][0]["path"], "/notes/lunch");
    let file = top.path().join("data/dev.env");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let keys = || {
        let text = fs::read_to_string(&file).unwrap();
        text.lines().filter(|line| line.contains("_KEY=")).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = keys();
    assert_eq!(before.len(), 2);
    // The passwords of both roles, PostgreSQL's programs, and this one: what the runbook takes.
    let ours = "set -e; . data/dev.env; createdb made; DATABASE_URL=${DATABASE_URL%/*}/made agentfs-server migrate >&2; \
        psql -U postgres -d made -Atc 'SELECT json_build_array(current_user, (SELECT rolname FROM pg_roles WHERE oid = datdba))
            FROM pg_database WHERE datname = current_database()'; dropdb made";
    assert_eq!(shell(top.path(), ours), json!(["postgres", "agentfs"]));
    let passwords = fs::metadata(top.path().join("data/pgpass")).unwrap();
    assert_eq!(passwords.mode() & 0o777, 0o600);
    dev.stop();

    let dev = Dev::start(top.path());
    assert_eq!(keys(), before, "the keys stay");
    let get = r#". data/dev.env; curl -s "$AGENTFS_URL/v1/get" -H "Authorization: Bearer $AGENTFS_API_KEY" \
        -H 'Content-Type: application/json' -d '{"agent_id":"ada","path":"/notes/lunch"}'"#;
    assert_eq!(shell(top.path(), get)["version_id"], put["version_id"]);
    let key = r#". data/dev.env; curl -s "$AGENTFS_URL/v1/admin/create-key" -H "Authorization: Bearer $AGENTFS_ADMIN_KEY" \
        -H 'Content-Type: application/json' -d '{"label":"test"}'"#;
    assert!(shell(top.path(), key).to_string().contains("agfs_live_"));
    dev.stop();
}

#[test]
fn dev_keeps_the_model_that_its_data_has() {
    let top = folder();
    models();
    let fast = ("EMBEDDING_MODEL", FAST);
    let said = |settings: &[(&str, &str)]| {
        let dev = Dev::start_with(top.path(), settings);
        let said = dev.line("embedding model").to_owned();
        dev.stop();
        said
    };
    for settings in [&[fast][..], &[]] {
        assert!(said(settings).starts_with("embedding model all-MiniLM-L6-v2 (384)"));
    }
    let absent = said(&[("EMBEDDING_MODEL", "nomic")]);
    assert!(
        absent.contains("none, so search is full-text only: EMBEDDING_MODEL is nomic"),
        "{absent}"
    );
    let none = said(&[("EMBEDDING_MODEL_DIR", ""), fast]);
    assert!(none.ends_with("run scripts/model, then start again"), "{none}");
}
