//! `kubectl agentfs`: backups, verifications, restores and drills of an AgentFS from the command line.

use std::process::ExitCode;

use agentfs_operator::plugin;

fn main() -> ExitCode {
    plugin::main()
}
