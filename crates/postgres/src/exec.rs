//! `agentfs-server postgres-exec`: the step between this program and PostgreSQL's.
//!
//! The order matters. The kernel forgets the parent-death signal whenever a process changes its user, so the user is
//! changed first and the signal asked for afterwards, in the process that then becomes PostgreSQL. Doing it in a program of
//! its own, before `exec`, needs no unsafe code between fork and exec.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

use crate::error::PostgresError;

/// The name of the hidden subcommand that the program using this crate must have: [`exec`] of its [`ExecArgs`].
pub const SUBCOMMAND: &str = "postgres-exec";

/// Arguments of the hidden subcommand that becomes a program of PostgreSQL's.
#[derive(Debug, clap::Args)]
pub struct ExecArgs {
    /// The process that starts this one, and whose end ends it.
    #[arg(long)]
    parent: i32,
    /// The signal that the parent's end sends.
    #[arg(long)]
    death_signal: Signal,
    /// The user to become.
    #[cfg(feature = "change-user")]
    #[arg(long, requires = "gid")]
    uid: Option<u32>,
    /// The group to become.
    #[cfg(feature = "change-user")]
    #[arg(long, requires = "uid")]
    gid: Option<u32>,
    /// The program to become.
    #[arg(long)]
    program: PathBuf,
    /// The program's arguments.
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

/// The command of this very program, even if its file was replaced meanwhile, that becomes `program`; `death_signal` is the
/// signal for it when this process dies, and `options` are further ones of the subcommand.
pub(crate) fn command(program: &Path, death_signal: Signal, options: Vec<OsString>) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg(SUBCOMMAND)
        .args(["--parent", &std::process::id().to_string()])
        .args(["--death-signal", death_signal.as_str()])
        .args(options)
        .arg("--program")
        .arg(program)
        .arg("--");
    command
}

/// Becomes the program that the arguments name; returns only when that failed.
pub fn exec(args: &ExecArgs) -> PostgresError {
    let failed = |action, source: io::Error| PostgresError::Exec {
        action,
        program: args.program.clone(),
        source,
    };
    #[cfg(feature = "change-user")]
    if let Err(errno) = become_user(args) {
        return failed("change the user", errno.into());
    }
    if let Err(errno) = prctl::set_no_new_privs() {
        return failed("give up all further rights", errno.into());
    }
    if let Err(errno) = die_with_parent(args) {
        return failed("tie this process to its parent", errno.into());
    }
    failed("execute it", Command::new(&args.program).args(&args.arguments).exec())
}

#[cfg(feature = "change-user")]
fn become_user(args: &ExecArgs) -> nix::Result<()> {
    use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
    if let (Some(uid), Some(gid)) = (args.uid, args.gid) {
        let gid = Gid::from_raw(gid);
        setgroups(&[gid])?;
        setgid(gid)?;
        setuid(Uid::from_raw(uid))?;
    }
    Ok(())
}

fn die_with_parent(args: &ExecArgs) -> nix::Result<()> {
    prctl::set_pdeathsig(args.death_signal)?;
    // A parent that died before the line above sends nothing; this process then has another parent already.
    if getppid() != Pid::from_raw(args.parent) {
        return Err(Errno::ESRCH);
    }
    Ok(())
}
