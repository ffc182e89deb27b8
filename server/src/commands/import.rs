//! `agentfs-server import`: puts the entries of a JSON Lines file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::api_args::{ApiArgs, SETTINGS};
use super::in_runtime;
use crate::runtime::exit::{after_failure, failed};
use crate::transfer::{Import, Imported};

/// Arguments of `agentfs-server import`.
#[derive(Debug, clap::Args)]
#[command(after_help = SETTINGS)]
pub struct ImportArgs {
    /// A JSON Lines file: one object per line, with path, value and the other fields of put, without a condition. expires_at may replace
    /// ttl_seconds, as in an export. FILE.import records the progress: after any interruption, the same command resumes. `-` is standard
    /// input, which cannot be resumed
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Put all entries below this path: /notes/a becomes PATH/notes/a
    #[arg(long, value_name = "PATH", default_value = "/")]
    prefix: String,
    #[command(flatten)]
    api: ApiArgs,
}

/// Runs the command.
pub fn run(args: ImportArgs) -> ExitCode {
    in_runtime(execute(args))
}

async fn execute(args: ImportArgs) -> ExitCode {
    let client = match args.api.client() {
        Ok(client) => client,
        Err(sentence) => return failed(sentence),
    };
    let file = Some(args.file).filter(|file| file != Path::new("-"));
    let import = Import { client, agent: args.api.agent, prefix: args.prefix, file };
    match import.run().await {
        Ok(imported) => {
            println!("{}", sentence(imported));
            match imported.too_large {
                0 => ExitCode::SUCCESS,
                left_out => failed(format!(
                    "entries left out as larger than the server takes: {left_out}; once they fit, import their lines from a file of their own"
                )),
            }
        }
        Err(error) => {
            failed(&error);
            after_failure(error.is_transient())
        }
    }
}

fn sentence(Imported { entries, expired, too_large: _ }: Imported) -> String {
    match expired {
        0 => format!("{entries} entries imported"),
        expired => format!("{entries} entries imported; {expired} had expired"),
    }
}
