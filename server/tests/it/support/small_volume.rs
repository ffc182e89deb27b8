//! A PostgreSQL on a small volume of its own, in a mount namespace that takes the volume with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::unistd::{getgid, getuid};
use tempfile::TempDir;

use super::database::Postgres;
use super::namespace::in_namespace;
use super::server_user;

pub struct SmallVolume {
    pub postgres: Postgres,
    folder: TempDir,
    /// Enters the namespace.
    enter: Vec<String>,
}

/// PostgreSQL refuses to be root, also to be the root of a user namespace: there it is the user of before. The shell waits, so that its
/// namespaces can be entered.
const START: &str = r#"
    set -eu
    mount -t tmpfs -o "mode=0755,size=$SIZE" tmpfs "$VOLUME"
    export TMPDIR="$VOLUME"
    if [ -n "$IS_MAPPED" ]; then
        unshare --user "--map-user=$ID" "--map-group=$GROUP" "$@"
    else
        "$@"
    fi
    exit
"#;

impl SmallVolume {
    /// On a volume of so many bytes, if somebody may mount one here; `options` are those of `dev-postgres`.
    pub fn start(size: u64, options: &[&str]) -> Option<Self> {
        let way = in_namespace()?;
        let is_mapped = way.contains(&"--user");
        let folder = TempDir::new().unwrap();
        // Where we are root, PostgreSQL is another user's.
        server_user::open(folder.path());
        let volume = volume_in(folder.path());
        std::fs::create_dir(&volume).unwrap();
        let mut shell = Command::new("unshare");
        shell
            .args(&way)
            .args(["sh", "-c", START, "sh", env!("CARGO_BIN_EXE_agentfs-server")])
            .env("SIZE", size.to_string())
            .env("VOLUME", &volume)
            .env("IS_MAPPED", if is_mapped { "yes" } else { "" })
            .env("ID", getuid().to_string())
            .env("GROUP", getgid().to_string());
        let (postgres, shell) = Postgres::start_by(shell, options);
        let mut enter = vec![format!("--target={shell}"), "--mount".to_owned()];
        if is_mapped {
            enter.extend(["--user", "--preserve-credentials"].map(str::to_owned));
        }
        Some(Self { postgres, folder, enter })
    }

    /// A command that sees the volume.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(&self.enter).arg("--").arg(program);
        command
    }

    /// What a command that sees the volume prints; it must succeed.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } =
            self.command(program).args(arguments).arg(self.path()).output().unwrap();
        assert!(status.success(), "{program}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    fn path(&self) -> PathBuf {
        volume_in(self.folder.path())
    }

    /// Leaves so many bytes of it free.
    pub fn leave(&self, free: u64) {
        let said = self.run("df", &["--block-size=1", "--output=used"]);
        let used: u64 = said.lines().last().unwrap().trim().parse().unwrap();
        // With its source named, `mount` takes none of the options of before, some of which no user namespace may set.
        let options = format!("remount,size={}", used + free);
        self.run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"]);
    }
}

fn volume_in(folder: &Path) -> PathBuf {
    folder.join("volume")
}
