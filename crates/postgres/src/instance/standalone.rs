//! `agentfs-server dev-postgres`: a PostgreSQL for tests and benchmarks.
//!
//! It prints a line of JSON when it is ready and runs until its standard input closes or it is told to end. A test that is
//! killed closes that pipe, so that nothing is left behind whatever happens to the test.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::thread;

use secrecy::ExposeSecret;
use tokio::sync::oneshot;

use super::data_folder::DataFolder;
use super::ending;
use super::installation::Installation;
use super::leftover;
use super::running::{Instance, InstanceOptions};
use super::setting::Setting;
use super::temporary::Temporary;
use crate::error::PostgresError;

/// Arguments of the hidden subcommand that runs a PostgreSQL for tests.
#[derive(Debug, clap::Args)]
pub struct StandaloneArgs {
    /// Use a temporary folder, which is removed at the end.
    #[arg(long, conflicts_with = "data_dir", required_unless_present = "data_dir")]
    throwaway: bool,
    /// Use this folder, which stays.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The folder of PostgreSQL's programs.
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
    /// A setting of postgresql.conf; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<Setting>,
    /// Start PostgreSQL again when it ends by itself, on the same port, and print another line.
    #[arg(long)]
    restart: bool,
}

/// Runs a PostgreSQL until standard input closes or a signal comes.
pub fn run_standalone(args: &StandaloneArgs) -> Result<(), PostgresError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(PostgresError::io("start", Path::new("the runtime")))?;
    runtime.block_on(run(args))
}

async fn run(args: &StandaloneArgs) -> Result<(), PostgresError> {
    let told_to_end = told_to_end()?;
    let installation = Installation::find(args.pg_bin.as_deref())?;
    let options = InstanceOptions {
        settings: args.set.clone(),
        throwaway: args.throwaway,
        ..InstanceOptions::default()
    };
    if let Some(path) = &args.data_dir {
        let folder = DataFolder::take(Some(path))?;
        return serve(&installation, folder, options, args.restart, told_to_end).await;
    }
    let (temporary, folder) = Temporary::make(&std::env::temp_dir()).await?;
    let result = serve(&installation, folder, options, args.restart, told_to_end).await;
    temporary.remove().await?;
    result.map_err(PostgresError::without_log)
}

/// Starts PostgreSQL, says where it is, and stops it when this process is told to end.
async fn serve(
    installation: &Installation,
    folder: DataFolder,
    options: InstanceOptions,
    restart: bool,
    told_to_end: impl Future<Output = ()>,
) -> Result<(), PostgresError> {
    let mut told_to_end = pin!(told_to_end);
    let cluster = folder.cluster();
    let mut instance = tokio::select! {
        started = Instance::start(installation, folder, options) => started?,
        () = &mut told_to_end => return leftover::stop(&cluster).await.map(|_| ()),
    };
    loop {
        announce(&instance);
        tokio::select! {
            ended = instance.ended() => if restart { instance.restart().await? } else { return Err(ended) },
            () = &mut told_to_end => {
                instance.stop().await;
                return Ok(());
            }
        }
    }
}

fn announce(instance: &Instance) {
    let line = serde_json::json!({
        "database_url": instance.database_url().expose_secret(),
        "superuser_url": instance.superuser_url().expose_secret(),
        "bin": instance.bin(),
        "pid": instance.pid(),
    });
    let mut out = io::stdout().lock();
    // Nobody reads any more: then standard input closes as well, which ends this process.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Resolves when standard input closes or a signal asks for the end.
fn told_to_end() -> Result<impl Future<Output = ()>, PostgresError> {
    let signalled = ending::signalled()?;
    let (closed_sender, closed) = oneshot::channel::<()>();
    // A thread of its own: the runtime would wait for a blocking read at its end.
    let reader = thread::Builder::new().name("stdin".into()).spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(closed_sender);
    });
    reader.map_err(PostgresError::io("start", Path::new("a thread")))?;
    Ok(async move {
        tokio::select! {
            () = signalled => {}
            _ = closed => {}
        }
    })
}
