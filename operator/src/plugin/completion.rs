//! `kubectl agentfs completion`: lets shells complete commands and names.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use super::cli::Cli;
use super::complete;
use super::error::Error;
use super::output::print;

/// The program.
const PROGRAM: &str = "kubectl-agentfs";
/// What kubectl runs to complete the words after `kubectl agentfs`. It has to be on PATH.
const COMPLETER: &str = "kubectl_complete-agentfs";

/// Arguments of `kubectl agentfs completion`.
#[derive(Args, Debug)]
pub(super) struct CompletionArgs {
    /// `install` writes the program that kubectl's own completion runs for this plugin; the name of a shell prints a
    /// completion script for kubectl-agentfs, typed without kubectl
    #[arg(value_enum, value_name = "install|SHELL")]
    what: What,
    /// The folder on PATH that `install` writes to. Defaults to that of kubectl-agentfs
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Install,
    Bash,
    Zsh,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
    Elvish,
}

/// Runs the command.
pub(super) fn run(args: &CompletionArgs) -> Result<(), Error> {
    let shell = match args.what {
        What::Install => return install(args.dir.clone()),
        What::Bash => Shell::Bash,
        What::Zsh => Shell::Zsh,
        What::Fish => Shell::Fish,
        What::PowerShell => Shell::PowerShell,
        What::Elvish => Shell::Elvish,
    };
    print(&script(shell))
}

/// The script by which a shell completes the program.
fn script(shell: Shell) -> String {
    // For bash clap_complete mixes up the names of commands where the program's has a hyphen, so that has it at the end alone.
    let name = if shell == Shell::Bash { "kubectl_agentfs" } else { PROGRAM };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), name, &mut script);
    let script = String::from_utf8_lossy(&script);
    script.replace(&format!(" {name}\n"), &format!(" {PROGRAM}\n"))
}

fn install(dir: Option<PathBuf>) -> Result<(), Error> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> =
        env::split_paths(&path).filter(|dir| !dir.as_os_str().is_empty()).collect();
    let own = || env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
    // As krew installs it, what is on PATH is a link, and what it leads to is not there.
    let beside = || on_path.iter().find(|dir| dir.join(PROGRAM).is_file()).cloned().or_else(own);
    let dir = dir.or_else(beside).ok_or_else(|| {
        Error::Local(format!("cannot tell where {PROGRAM} is; name a folder on PATH with --dir"))
    })?;
    let file = dir.join(COMPLETER);
    write(&file).map_err(|error| {
        Error::Local(format!(
            "cannot write {}: {error}. Name another folder on PATH with --dir",
            file.display()
        ))
    })?;
    let path = if on_path.contains(&dir) {
        ""
    } else {
        ", which is not on PATH: kubectl does not find it before it is"
    };
    print(&format!(
        "wrote {}{path}\nkubectl's completion uses it from now on; where that is not set up yet: kubectl completion --help\n",
        file.display()
    ))
}

/// Writes the program that completes. It is written whole or not at all.
fn write(file: &Path) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, completer())?;
    make_executable(&new)?;
    fs::rename(&new, file)
}

fn completer() -> String {
    format!(
        "#!/bin/sh\n# Completes the words after `kubectl agentfs`, for kubectl's completion.\nexec {PROGRAM} {} \"$@\"\n",
        complete::COMMAND
    )
}

#[cfg(unix)]
fn make_executable(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> io::Result<()> {
    Ok(())
}
