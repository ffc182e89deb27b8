//! A user's machine: a home, the program that `make` would build, ports of its own, and bash as a user other than root.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use agentfs_documents::Examples;
use agentfs_postgres::cache;
use tempfile::TempDir;

use crate::server_user::{bash, folder, open};

/// `make dev` without the compiling: it returns once all is ready, and prints what was printed until then, but for the lines of the
/// log. What it starts ends with the shell.
const MAKE: &str = r#"
dev=
make() {
    local before=0
    [ ! -e dev.log ] || before=$(wc -l <dev.log)
    agentfs-server "$@" --listen PORT >>dev.log 2>&1 &
    dev=$!
    until tail -n "+$((before + 1))" dev.log | grep '^Try:' >/dev/null; do
        kill -0 "$dev" || { cat dev.log >&2; return 1; }
        sleep 0.1
    done
    tail -n "+$((before + 1))" dev.log | grep -vE '^[0-9-]+T[0-9:.]+Z '
}
stop() {
    [ -z "$dev" ] || { kill "$dev" && wait "$dev"; } || true
    dev=
}
# What is started in the background ends as well.
leave() {
    stop
    kill $(jobs -p) 2>/dev/null && wait || true
}
trap leave EXIT
"#;

/// What a user types first, where a page says so.
pub const AFTER_MAKE_DEV: &str = "make dev >/dev/null; . .agentfs-dev/dev.env\n";

/// A machine. Dropping it removes its files.
pub struct Machine {
    folder: TempDir,
    /// The first of its ports.
    port: u16,
}

impl Machine {
    pub fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap(), port: free_ports() };
        open(machine.folder.path());
        [machine.home(), machine.programs()].iter().for_each(|path| folder(path));
        let program = machine.programs().join("agentfs-server");
        fs::copy(env!("CARGO_BIN_EXE_agentfs-server"), program).unwrap();
        machine
    }

    /// The folder that commands are typed in.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Where `agentfs-server` is, which is on PATH.
    pub fn programs(&self) -> PathBuf {
        self.folder.path().join("programs")
    }

    /// The port that is 8787 in the documents; also the one that is `beyond` it.
    pub fn port(&self, beyond: u16) -> u16 {
        self.port + beyond
    }

    /// The port of PostgreSQL, 5432 in the documents.
    pub fn database_port(&self) -> u16 {
        self.port(4)
    }

    /// A port where nothing listens.
    pub fn spare_port(&self) -> u16 {
        self.port(5)
    }

    /// A document, with the ports of this machine.
    pub fn page(&self, name: &str) -> String {
        let text = fs::read_to_string(checkout().join(name)).unwrap();
        text.replace("8787", &self.port.to_string())
            .replace("8789", &self.port(2).to_string())
            .replace("127.0.0.1:5432", &format!("127.0.0.1:{}", self.database_port()))
    }

    /// Runs the commands of a page that have no mark, `least` of them or more, after `before`, and holds what they print against what
    /// the page says.
    pub async fn run(&self, page: &str, least: usize, before: &str) {
        let examples = Examples::of(page, "");
        assert!(examples.len() >= least, "only {} commands were found", examples.len());
        let make = MAKE.replace("PORT", &self.port.to_string());
        let output = self.shell(&[&make, "set -euo pipefail\n", before, examples.script()]).await;
        examples.check(&output);
    }

    async fn shell(&self, script: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        bash()
            .args(["-c", &script.concat()])
            .current_dir(self.home())
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", format!("{}:{path}", self.programs().display()))
            // What was fetched for the one who runs the tests.
            .envs(cache::folder().map(|cache| ("AGENTFS_CACHE", cache)))
            .stdin(Stdio::null())
            .output()
            .await
            .expect("bash runs")
    }
}

/// What one of scripts/ prints that bring programs: where they are.
pub fn brought(script: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(checkout().join("scripts").join(script))
        .args(arguments)
        .stderr(Stdio::inherit())
        .output();
    let printed = String::from_utf8(output.expect("it runs").stdout).expect("UTF-8");
    assert_ne!(printed, "", "scripts/{script} fails; its message is above");
    printed.trim_end().to_owned()
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The first of six free ports, of four digits as those of the documents are: columns stay where they are.
fn free_ports() -> u16 {
    static CALLS: AtomicU16 = AtomicU16::new(0);
    // Tests in processes of their own begin elsewhere.
    let begin = (std::process::id().wrapping_mul(7919) % 600) as u16;
    loop {
        let place = (begin + CALLS.fetch_add(1, Ordering::Relaxed)) % 600;
        let port = 5500 + 6 * place;
        if (port..port + 6).all(|port| TcpListener::bind(("0.0.0.0", port)).is_ok()) {
            return port;
        }
    }
}
