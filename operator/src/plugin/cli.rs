//! What can be typed.

use clap::{Args, Parser, Subcommand};

use super::connect::KubeFlags;
use super::output::OutputFlag;
use super::screen::Screen;
use super::{backup, backups, completion, drill, restore, status, verify};

/// Backs up, verifies, restores and drills the memory of agents, and shows what is proven.
///
/// What each command does can be done with kubectl create -f as well: it creates an AgentFSBackup, AgentFSRestore or AgentFSDrill
/// and follows it. Ctrl-C ends the following, not the work.
///
/// Exit codes: 0 succeeded; 1 failed, or the answer was no; 2 called wrongly; 130 Ctrl-C while waiting.
#[derive(Debug, Parser)]
#[command(name = "kubectl-agentfs", bin_name = "kubectl agentfs", version)]
pub(super) struct Cli {
    /// What is to be done.
    #[command(subcommand)]
    pub(super) command: Command,
    /// Where.
    #[command(flatten)]
    pub(super) flags: KubeFlags,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Whether it is well, its backups, and what is proven since when
    Status(status::StatusArgs),
    /// Make a backup now
    Backup(backup::BackupArgs),
    /// The backups that there are, the newest first
    Backups(backups::BackupsArgs),
    /// Prove that a backup restores
    Verify(verify::VerifyArgs),
    /// Restore a backup, in place while the API serves or into a new database; or take a restore in place back
    Restore(restore::RestoreArgs),
    /// Carry out a disaster recovery drill, which touches nothing that serves
    Drill(drill::DrillArgs),
    /// Let the shell complete commands and names
    Completion(completion::CompletionArgs),
}

/// The AgentFS.
#[derive(Args, Clone, Debug)]
pub(super) struct NameArg {
    /// The AgentFS
    #[arg(value_name = "NAME")]
    pub(super) name: String,
}

/// How a command goes on once it has created a resource.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct ActionFlags {
    /// Wait until it has ended; --wait=false only creates the resource
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(super) wait: bool,
    /// How the resource is printed at the end; how it goes is then told on standard error
    #[command(flatten)]
    pub(super) output: OutputFlag,
}

impl ActionFlags {
    /// Where it is told how it goes.
    pub(super) fn screen(self) -> Screen {
        Screen::new(self.output.output.is_some())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_put_together_rightly() {
        Cli::command().debug_assert();
    }

    #[test]
    fn waiting_is_turned_off_as_in_kubectl() {
        let wait = |words: &[&str]| {
            let cli =
                Cli::try_parse_from([&["kubectl-agentfs", "drill", "memory"], words].concat());
            match cli.map(|cli| cli.command) {
                Ok(Command::Drill(args)) => args.action.wait,
                other => panic!("{other:?}"),
            }
        };
        assert!(wait(&[]) && wait(&["--wait"]) && wait(&["--wait=true"]));
        assert!(!wait(&["--wait=false"]));
    }
}
