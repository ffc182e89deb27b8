//! `agentfs-server dev-postgres-exec`: the step between this program and PostgreSQL's.
//!
//! The order matters. The kernel forgets the parent-death signal whenever a process changes its user, so the user is
//! changed first and the signal asked for afterwards, in the process that then becomes PostgreSQL. Doing it in a program of
//! its own, before `exec`, needs no unsafe code between fork and exec.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Pid, Uid, getppid, setgid, setgroups, setuid};

use super::error::PostgresError;

/// The name of the hidden subcommand that the program using an instance must have: [`exec`] of its [`ExecArgs`].
pub const SUBCOMMAND: &str = "dev-postgres-exec";

/// Arguments of the hidden subcommand that becomes a PostgreSQL program.
#[derive(Debug, clap::Args)]
pub struct ExecArgs {
    /// The process that starts this one, and whose end ends it.
    #[arg(long)]
    parent: i32,
    /// The signal that the parent's end sends.
    #[arg(long)]
    death_signal: Signal,
    /// The user to become.
    #[arg(long, requires = "gid")]
    uid: Option<u32>,
    /// The group to become.
    #[arg(long, requires = "uid")]
    gid: Option<u32>,
    /// The program to become.
    #[arg(long)]
    program: PathBuf,
    /// The program's arguments.
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

/// Becomes the program that the arguments name; returns only when that failed.
pub fn exec(args: &ExecArgs) -> PostgresError {
    let failed = |action, source: io::Error| PostgresError::Exec {
        action,
        program: args.program.clone(),
        source,
    };
    if let Err(errno) = become_user(args) {
        return failed("change the user", errno.into());
    }
    if let Err(errno) = die_with_parent(args) {
        return failed("tie this process to its parent", errno.into());
    }
    // The environment may hold keys, and PG* variables of another database.
    let mut command = Command::new(&args.program);
    command.args(&args.arguments).env_clear().env("LC_ALL", "C").current_dir("/");
    for kept in ["PATH", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    failed("execute it", command.exec())
}

fn become_user(args: &ExecArgs) -> nix::Result<()> {
    if let (Some(uid), Some(gid)) = (args.uid, args.gid) {
        let gid = Gid::from_raw(gid);
        setgroups(&[gid])?;
        setgid(gid)?;
        setuid(Uid::from_raw(uid))?;
    }
    prctl::set_no_new_privs()
}

fn die_with_parent(args: &ExecArgs) -> nix::Result<()> {
    prctl::set_pdeathsig(args.death_signal)?;
    // A parent that died before the line above sends nothing; this process then has another parent already.
    if getppid() != Pid::from_raw(args.parent) {
        return Err(Errno::ESRCH);
    }
    Ok(())
}
