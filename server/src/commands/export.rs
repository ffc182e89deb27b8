//! `agentfs-server export`: writes an agent's entries as JSON Lines.

use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tempfile::NamedTempFile;

use super::api_args::{ApiArgs, SETTINGS};
use super::in_runtime;
use crate::runtime::exit::{after_failure, failed};
use crate::transfer::{Export, ExportError};

/// Arguments of `agentfs-server export`.
#[derive(Debug, clap::Args)]
#[command(after_help = SETTINGS)]
pub struct ExportArgs {
    /// The file to write, one JSON object per line, as `import` takes it. It appears once it is complete, and only its owner can read it.
    /// Defaults to standard output
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only entries at this path or below it
    #[arg(long, value_name = "PATH", default_value = "/")]
    prefix: String,
    #[command(flatten)]
    api: ApiArgs,
}

/// Runs the command.
pub fn run(args: ExportArgs) -> ExitCode {
    in_runtime(execute(args))
}

async fn execute(args: ExportArgs) -> ExitCode {
    let client = match args.api.client() {
        Ok(client) => client,
        Err(sentence) => return failed(sentence),
    };
    let export = Export { client, agent: args.api.agent, prefix: args.prefix };
    let exported = match &args.file {
        Some(file) => to_file(&export, file).await,
        None => export.run(&mut BufWriter::new(io::stdout())).await,
    };
    match exported {
        Ok(entries) => {
            eprintln!("{entries} entries exported");
            ExitCode::SUCCESS
        }
        // A reader that stops early, like `head`, has what it wants.
        Err(ExportError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            failed(&error);
            after_failure(error.is_transient())
        }
    }
}

/// Writes a new file, which takes the name once it is complete.
async fn to_file(export: &Export, path: &Path) -> Result<u64, ExportError> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    let mut out = BufWriter::new(&mut file);
    let entries = export.run(&mut out).await?;
    out.flush()?;
    drop(out);
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(entries)
}
