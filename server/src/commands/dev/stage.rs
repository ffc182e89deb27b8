//! `agentfs-server dev-stage`: the step of a restore in place that loads a backup beside the live tables, by itself, for tests.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::DevError;
use crate::recovery::catalogue::Selector;
use crate::recovery::progress::Update;
use crate::recovery::restore::LoadOptions;
use crate::recovery::restore::in_place::stage_backup;
use crate::recovery::{Location, RecoveryError};
use crate::runtime::signals::shutdown;
use crate::settings::DatabaseUrl;

/// What is staged, and how.
#[derive(Debug, clap::Args)]
pub struct StageArgs {
    /// The location of the backups.
    #[arg(long)]
    from: String,
    /// The folder of PostgreSQL's programs.
    #[arg(long)]
    pg_bin: Option<PathBuf>,
    /// Connections that load at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Most bytes of rows a second.
    #[arg(long)]
    max_rate: Option<u64>,
}

/// Stages the newest backup into the schema `agentfs_new` of the database of DATABASE_URL, and prints what was told on the way and what
/// was left out. At a signal it drops the work, says so, and stays until its standard input closes.
pub(super) fn run(args: &StageArgs) -> Result<(), DevError> {
    let runtime = tokio::runtime::Runtime::new().map_err(DevError::Serve)?;
    runtime.block_on(Box::pin(execute(args)))
}

async fn execute(args: &StageArgs) -> Result<(), DevError> {
    let url = std::env::var("DATABASE_URL").unwrap_or_default();
    let url = DatabaseUrl::parse(&url.into()).map_err(RecoveryError::from)?;
    let location = Location::parse(&args.from)?;
    let told = Mutex::new(Vec::new());
    let progress = |update: &Update| {
        let Update { step, of, done, total } = update;
        let line = json!({ "step": step, "of": of, "done": done, "total": total });
        told.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    };
    let (pg_bin, latest) = (args.pg_bin.as_deref(), Selector::Latest);
    let shutdown = shutdown().map_err(DevError::Logging)?;
    let load = LoadOptions { jobs: args.jobs, max_rate: args.max_rate };
    let staging = stage_backup(&url, &location, &latest, pg_bin, load, &progress);
    let left_out = tokio::select! {
        left_out = Box::pin(staging) => Some(left_out),
        () = shutdown => None,
    };
    let Some(left_out) = left_out else {
        print(&json!("dropped"))?;
        let waiting = || io::copy(&mut io::stdin(), &mut io::sink());
        let _ = tokio::task::spawn_blocking(waiting).await;
        return Ok(());
    };
    let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    print(&json!({ "left_out": left_out?, "told": told }))
}

fn print(line: &Value) -> Result<(), DevError> {
    writeln!(io::stdout(), "{line}").map_err(DevError::Serve)
}
