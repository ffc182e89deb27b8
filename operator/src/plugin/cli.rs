//! What can be typed.

use clap::{Args, Parser, Subcommand};

use super::connect::KubeFlags;
use super::output::OutputFlag;
use super::screen::Screen;
use super::{backup, backups, completion, drill, restore, status, verify};

/// Backs up, verifies, restores and drills AgentFS, and shows what is verified.
///
/// Each command creates an AgentFSBackup, AgentFSRestore, AgentFSDrill or Job and follows it, as you could do with
/// kubectl create -f. Ctrl-C stops following it; the work goes on.
///
/// Exit codes: 0 succeeded; 1 failed, or you answered no; 2 wrong usage; 130 Ctrl-C while waiting.
#[derive(Debug, Parser)]
#[command(name = "kubectl-agentfs", bin_name = "kubectl agentfs", version)]
pub(super) struct Cli {
    /// The command.
    #[command(subcommand)]
    pub(super) command: Command,
    /// Where.
    #[command(flatten)]
    pub(super) flags: KubeFlags,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the conditions of an AgentFS, its backups, and what is verified since when
    Status(status::StatusArgs),
    /// Make a backup now
    Backup(backup::BackupArgs),
    /// List backups, newest first
    Backups(backups::BackupsArgs),
    /// Verify that a backup restores
    Verify(verify::VerifyArgs),
    /// Restore a backup in place or into a new database, or undo a restore in place
    Restore(restore::RestoreArgs),
    /// Run a disaster recovery drill, which does not affect what is live
    Drill(drill::DrillArgs),
    /// Set up shell completion of commands and names
    Completion(completion::CompletionArgs),
}

/// The name of the AgentFS.
#[derive(Args, Clone, Debug)]
pub(super) struct NameArg {
    /// The name of the AgentFS
    #[arg(value_name = "NAME")]
    pub(super) name: String,
}

/// How a command goes on once it has created a resource.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct ActionFlags {
    /// Wait until it has finished; --wait=false only creates the resource
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
    /// The output format of the resource at the end; progress then goes to standard error
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
