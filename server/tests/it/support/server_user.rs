//! The user that PostgreSQL's servers run as where the tests are root's: PostgreSQL refuses to be root.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use nix::unistd::{User, chown, geteuid};
use tokio::process::Command;

/// Longest time that a script may take.
const TIMEOUT: &str = "300";

/// bash as that user.
pub fn bash() -> Command {
    let mut command = Command::new("timeout");
    command.arg(TIMEOUT);
    if let Some(user) = another() {
        command.args(["setpriv", "--clear-groups"]);
        command.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid)]);
    }
    command.arg("bash");
    command
}

/// Makes a program that is about to start one of that user's.
pub fn belongs(command: &mut std::process::Command) {
    if let Some(user) = another() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
}

/// Makes a folder that is that user's.
pub fn folder(path: &Path) {
    fs::create_dir_all(path).unwrap();
    give(path);
}

/// Gives a file or folder to that user.
pub fn give(path: &Path) {
    if let Some(user) = another() {
        chown(path, Some(user.uid), Some(user.gid)).unwrap();
    }
}

/// Lets that user through a folder.
pub fn open(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o711)).unwrap();
}

/// That user, where it is another than ours.
fn another() -> Option<User> {
    if !geteuid().is_root() {
        return None;
    }
    let found = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok()?);
    Some(found.expect("an unprivileged user"))
}
