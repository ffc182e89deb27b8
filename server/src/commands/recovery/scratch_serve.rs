//! The API on a restored database, for the one who verifies a backup: on a free port of the loopback, until standard input closes.

use std::future::pending;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::process::{self, ExitCode};
use std::thread;

use tokio::net::TcpListener;

use crate::commands::{in_runtime, serve};
use crate::runtime::exit::{failed, finish};
use crate::runtime::logging;
use crate::runtime::memory_limit::memory_limit;
use crate::settings::Settings;

pub use crate::recovery::SCRATCH_SERVE as SUBCOMMAND;

/// Runs the command with the settings of the environment.
pub fn run() -> ExitCode {
    in_runtime(execute())
}

async fn execute() -> ExitCode {
    if let Err(sentence) = logging::start_beside_output() {
        return failed(sentence);
    }
    let settings = match Settings::from_env(memory_limit()) {
        Ok(settings) => settings,
        Err(error) => return failed(error),
    };
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await {
        Ok(listener) => listener,
        Err(error) => return failed(error),
    };
    if let Err(error) = announce(&listener) {
        return failed(error);
    }
    // On a thread of its own, since the runtime would wait for the read. Whoever wanted this is gone then, and so is what it serves:
    // there is nothing to finish.
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        process::exit(0)
    });
    finish(Box::pin(serve::serve(settings, listener, pending())).await)
}

/// Prints the port.
fn announce(listener: &TcpListener) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()
}
