//! `agentfs-server forget`: removes backups that somebody names.

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;

use super::location;
use super::retention::told;
use super::running::run_to_its_end;
use crate::commands::output::Output;
use crate::records::{self, Run};
use crate::recovery::RecoveryError;
use crate::recovery::forget::{Forgotten, Which, forget};
use crate::recovery::storage::Storage;

/// Arguments of `agentfs-server forget`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["backup", "instance"])))]
pub struct ForgetArgs {
    /// Where backups are stored: a folder, or s3://bucket/prefix. Defaults to BACKUP_LOCATION
    #[arg(long, visible_alias = "dir", value_name = "LOCATION")]
    from: Option<String>,
    /// Remove the backup with this id; may be repeated. `agentfs-server backups` shows the ids
    #[arg(long, value_name = "ID")]
    backup: Vec<String>,
    /// Remove the backups of this instance, such as one whose database is lost; needs --all
    #[arg(long, value_name = "NAME", requires = "all")]
    instance: Option<String>,
    /// Remove all backups of the instance
    #[arg(long, requires = "instance", conflicts_with = "backup")]
    all: bool,
    /// Succeed even if a backup of --backup, or its bucket, does not exist
    #[arg(long, requires = "backup")]
    if_present: bool,
    /// Also remove the newest verified backup, the last one of an instance, and those with an unusable manifest
    #[arg(long)]
    force: bool,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub fn run(args: ForgetArgs) -> ExitCode {
    let output = args.output;
    run_to_its_end("removal", output, forget_as_asked(args))
}

async fn forget_as_asked(args: ForgetArgs) -> Result<(Printed, bool), RecoveryError> {
    let location = location(args.from.as_deref(), "--from")?;
    let which = match args.instance {
        Some(instance) => Which::All(instance),
        None if args.if_present => Which::Present(args.backup),
        None => Which::Ids(args.backup),
    };
    let forgetting = async {
        let storage = Storage::open(&location).await?;
        forget(&storage, &which, args.force).await
    };
    let forgotten = match forgetting.await {
        Err(RecoveryError::Storage(error)) if args.if_present && error.is_no_bucket() => {
            tracing::warn!("{error}");
            Forgotten::default()
        }
        forgotten => forgotten?,
    };
    records::keep(Run { removed: &forgotten.removed, ..Run::at(&location) }).await;
    let is_well = forgotten.stay().next().is_none();
    Ok((Printed(forgotten), is_well))
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Printed(Forgotten);

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Forgotten { removed, protected } = &self.0;
        match &removed[..] {
            [] => f.write_str("Nothing was removed")?,
            removed => write!(f, "Removed: {}", removed.join(", "))?,
        }
        f.write_str(&told(protected))
    }
}
