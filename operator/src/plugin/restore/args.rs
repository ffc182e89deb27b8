//! What can be typed behind `kubectl agentfs restore`.

use clap::{Args, ValueEnum};

use crate::crd::restore::{InPlace, NewDatabase, Security, Strategy, Target};
use crate::plugin::choose::Wanted;
use crate::plugin::cli::ActionFlags;
use crate::plugin::error::Error;

/// Arguments of `kubectl agentfs restore`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("from").required(true), group = clap::ArgGroup::new("to"))]
#[allow(clippy::struct_excessive_bools)] // each is a flag of its own
pub(in crate::plugin) struct RestoreArgs {
    /// The name of the AgentFS. Not needed with --undo
    #[arg(value_name = "NAME", required_unless_present = "undo")]
    pub(super) name: Option<String>,

    /// The AgentFSBackup to restore, as `kubectl agentfs backups` lists it
    #[arg(long, value_name = "BACKUP", group = "from", help_heading = "Which backup")]
    backup: Option<String>,
    /// The id of a backup in the catalogue
    #[arg(long, value_name = "ID", group = "from", help_heading = "Which backup")]
    id: Option<String>,
    /// The newest backup
    #[arg(long, group = "from", help_heading = "Which backup")]
    latest: bool,
    /// The newest backup that a restore has verified
    #[arg(long, group = "from", help_heading = "Which backup")]
    latest_verified: bool,
    /// Undo this restore in place: what was live before becomes live again
    #[arg(long, value_name = "RESTORE", group = "from", help_heading = "Which backup", conflicts_with_all = ["to", "strategy", "location", "allow_foreign", "security"])]
    pub(super) undo: Option<String>,
    /// Where the backup is stored, if not at the destination of the AgentFS: s3://bucket/prefix, or a folder below
    /// /backups
    #[arg(long, value_name = "LOCATION", help_heading = "Which backup", conflicts_with = "backup")]
    pub(super) location: Option<String>,
    /// Accept a backup of another database, or of another history of this one
    #[arg(long, help_heading = "Which backup")]
    pub(super) allow_foreign: bool,

    /// Replace what is live, while the API serves. This is the default
    #[arg(long, group = "to", help_heading = "Where to")]
    in_place: bool,
    /// Restore into a new database of this name on the same server; nothing that is live changes
    #[arg(long, value_name = "DATABASE", group = "to", help_heading = "Where to", conflicts_with_all = ["strategy", "keep_previous", "security"])]
    new_database: Option<String>,
    /// How the backup replaces what is live. Defaults to swap-schema
    #[arg(long, value_enum, ignore_case = true, help_heading = "Where to")]
    strategy: Option<StrategyFlag>,
    /// How long to keep what was live before, so that the restore can be undone, such as 30m, 24h or 2d. Defaults to
    /// 24h
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Where to")]
    pub(super) keep_previous: Option<String>,
    /// Which tenants and keys are valid afterwards. Defaults to live
    #[arg(long, value_enum, ignore_case = true, help_heading = "Where to")]
    security: Option<SecurityFlag>,

    /// Do not ask for confirmation
    #[arg(long, short)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) action: ActionFlags,
}

/// How the backup replaces what is live.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum StrategyFlag {
    /// One transaction exchanges the tables; no request fails
    #[value(alias = "SwapSchema")]
    SwapSchema,
    /// A new database takes the name of the live one, which may be broken beyond its tables
    #[value(alias = "RenameDatabase")]
    RenameDatabase,
    /// The live tables are emptied and filled again, for servers without space for both copies; the API answers 503
    /// meanwhile, and it cannot be undone
    #[value(alias = "Clean")]
    Clean,
}

/// Which tenants and keys are valid.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SecurityFlag {
    /// Those of the live database, so that no revoked key becomes valid again
    Live,
    /// Only those of the backup, including keys that were revoked since
    #[value(alias = "FromBackup")]
    FromBackup,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Order {
    /// Take that restore back.
    Undo(String),
    /// Restore a backup of the AgentFS there.
    Restore {
        /// The AgentFS.
        agentfs: String,
        /// Which backup.
        wanted: Wanted,
        /// Where to.
        target: Target,
    },
}

/// Reads a time as the kind takes it.
fn time(text: &str) -> Result<String, String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = text.split_inclusive(|c: char| "dhms".contains(c));
    let parted = parts.all(|part| {
        is_number(part.trim_end_matches(|c: char| "dhms".contains(c))) && !is_number(part)
    });
    if is_number(text) || (!text.is_empty() && parted) {
        return Ok(text.to_owned());
    }
    Err("give seconds, or a time such as 30m, 24h or 2d".into())
}

impl RestoreArgs {
    /// What was asked for.
    pub(super) fn order(&self) -> Result<Order, Error> {
        let unclear = || Error::Usage("say which AgentFS, and which of its backups".into());
        if let Some(restore) = &self.undo {
            return Ok(Order::Undo(restore.clone()));
        }
        let wanted = match (&self.backup, &self.id) {
            (Some(backup), _) => Wanted::Backup(backup.clone()),
            (None, Some(id)) => Wanted::Id(id.clone()),
            (None, None) if self.latest => Wanted::Latest,
            (None, None) if self.latest_verified => Wanted::LatestVerified,
            (None, None) => return Err(unclear()),
        };
        let agentfs = self.name.clone().ok_or_else(unclear)?;
        Ok(Order::Restore { agentfs, wanted, target: self.target() })
    }

    fn target(&self) -> Target {
        if let (false, Some(name)) = (self.in_place, &self.new_database) {
            let new_database = Some(NewDatabase { name: name.clone() });
            return Target { in_place: None, new_database };
        }
        let strategy = match self.strategy {
            None | Some(StrategyFlag::SwapSchema) => Strategy::SwapSchema,
            Some(StrategyFlag::RenameDatabase) => Strategy::RenameDatabase,
            Some(StrategyFlag::Clean) => Strategy::Clean,
        };
        let keep_previous = self.keep_previous.clone().unwrap_or_else(|| "24h".into());
        Target { in_place: Some(InPlace { strategy, keep_previous }), new_database: None }
    }

    /// Whose tenants and keys are valid afterwards.
    pub(super) fn security(&self) -> Security {
        match self.security {
            None | Some(SecurityFlag::Live) => Security::Live,
            Some(SecurityFlag::FromBackup) => Security::FromBackup,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;
    use crate::plugin::cli::Cli;

    fn args(words: &str) -> Result<RestoreArgs, String> {
        let words = ["kubectl-agentfs", "restore"].into_iter().chain(words.split_whitespace());
        let matches =
            Cli::command().try_get_matches_from(words).map_err(|error| error.to_string())?;
        let (_, matches) = matches.subcommand().unwrap();
        RestoreArgs::from_arg_matches(matches).map_err(|error| error.to_string())
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for words in [
            "memory",
            "--latest",
            "memory --latest --id x",
            "memory --latest --in-place --new-database look",
            "memory --latest --new-database look --strategy swap-schema",
            "memory --latest --new-database look --keep-previous 2d",
            "--undo restore-1 --new-database look",
            "--undo restore-1 --latest",
            "memory --latest --keep-previous tomorrow",
            "memory --backup a --location s3://x/y",
        ] {
            assert!(args(words).is_err(), "{words} was taken");
        }
        assert_eq!(
            args("--undo restore-1").unwrap().order().unwrap(),
            Order::Undo("restore-1".into())
        );
        let order =
            args("memory --latest-verified --strategy RenameDatabase --keep-previous 1d12h")
                .unwrap()
                .order();
        let in_place =
            InPlace { strategy: Strategy::RenameDatabase, keep_previous: "1d12h".into() };
        let target = Target { in_place: Some(in_place), new_database: None };
        let wanted = Wanted::LatestVerified;
        assert_eq!(order.unwrap(), Order::Restore { agentfs: "memory".into(), wanted, target });
    }

    #[test]
    fn a_time_is_taken_as_the_kind_takes_it() {
        for text in ["0", "3600", "30m", "1d12h"] {
            assert_eq!(time(text).as_deref(), Ok(text));
        }
        for text in ["", "h", "1w", "12h5", "-1h", "1 h"] {
            assert!(time(text).is_err(), "{text:?} was taken");
        }
    }
}
