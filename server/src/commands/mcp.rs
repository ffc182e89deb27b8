//! `agentfs-server mcp`: MCP on standard input and output.

use std::io::{BufReader, stdin, stdout};
use std::process::ExitCode;

use super::api_args::{ApiArgs, SETTINGS};
use super::in_runtime;
use crate::runtime::exit::failed;
use crate::stdio::Bridge;

/// Arguments of `agentfs-server mcp`.
#[derive(Debug, clap::Args)]
#[command(after_help = SETTINGS)]
pub struct McpArgs {
    /// Take messages from standard input and answer on standard output, one JSON object per line. Over HTTP the API itself serves MCP,
    /// at /mcp
    #[arg(long, required = true)]
    stdio: bool,
    #[command(flatten)]
    api: ApiArgs,
}

/// Runs the command until its standard input ends.
pub fn run(args: McpArgs) -> ExitCode {
    in_runtime(execute(args))
}

async fn execute(args: McpArgs) -> ExitCode {
    let client = match args.api.client() {
        Ok(client) => client,
        Err(sentence) => return failed(sentence),
    };
    let bridge = Bridge::new(client, &args.api.agent);
    match bridge.run(BufReader::new(stdin()), stdout()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(format!("standard input or output fails: {error}")),
    }
}
