//! Log lines on standard output, written by a thread of their own so that no request waits for a slow reader.

use std::fs::File;
use std::io::{self, BufWriter};
use std::os::fd::AsFd as _;

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

use crate::settings::LogFormat;

/// Bytes of log lines that go out at once when they come faster than they are written.
const BUFFER: usize = 64 << 10;

/// Starts logging; the lines are flushed when the guard is dropped. LOG_FORMAT and LOG_LEVEL say how and how much;
/// `format` is the format when LOG_FORMAT does not.
pub fn start(format: LogFormat) -> Result<WorkerGuard, String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let format = match variable("LOG_FORMAT").as_deref() {
        None => format,
        Some("json") => LogFormat::Json,
        Some("text") => LogFormat::Text,
        Some(other) => return Err(format!("LOG_FORMAT is {other:?}; it must be json or text")),
    };
    let level = variable("LOG_LEVEL").unwrap_or_else(|| "info".to_owned());
    if level.parse::<tracing::Level>().is_err() {
        return Err(format!(
            "LOG_LEVEL is {level:?}; it must be error, warn, info, debug or trace"
        ));
    }
    let filter =
        EnvFilter::try_new(format!("warn,agentfs_server={level}")).map_err(|e| e.to_string())?;
    let (writer, guard) =
        tracing_appender::non_blocking(standard_output().map_err(|e| e.to_string())?);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
        }
        LogFormat::Text => lines.with_ansi(false).with_target(false).init(),
    }
    Ok(guard)
}

/// Standard output without a system call for every line: the thread that writes flushes when no line waits any more.
fn standard_output() -> io::Result<BufWriter<File>> {
    Ok(BufWriter::with_capacity(BUFFER, io::stdout().as_fd().try_clone_to_owned()?.into()))
}
