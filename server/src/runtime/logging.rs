//! Logs: to standard output from a thread of its own, so that no request waits for a slow reader, and beside the output of
//! commands.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal};
use std::os::fd::AsFd as _;
use std::panic::PanicHookInfo;

use tracing::Level;
use tracing::field::Field;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::settings::{LogFormat, LogSettings};

/// Bytes of log lines that go out at once when they come faster than they are written.
const BUFFER: usize = 64 << 10;

/// Starts logging of a program that serves, to standard output; dropping the guard flushes.
pub fn start(settings: LogSettings) -> Result<WorkerGuard, String> {
    let (writer, guard) =
        tracing_appender::non_blocking(standard_output().map_err(|e| e.to_string())?);
    write_to(writer, settings)?;
    Ok(guard)
}

/// Starts logging of a command to standard error, since its standard output is its result: warnings alone unless LOG_LEVEL
/// says otherwise.
pub fn start_beside_output() -> Result<(), String> {
    let default = LogSettings { format: format_for(&io::stderr()), level: Level::WARN };
    write_to(io::stderr, LogSettings::from_env(default).map_err(|e| e.to_string())?)
}

/// The default format on `output`: text for a person at a terminal, JSON for the program that reads a file or a pipe.
pub fn format_for(output: &impl IsTerminal) -> LogFormat {
    if output.is_terminal() { LogFormat::Text } else { LogFormat::Json }
}

fn write_to<W>(writer: W, settings: LogSettings) -> Result<(), String>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(format!("warn,agentfs_server={}", settings.level))
        .map_err(|e| e.to_string())?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match settings.format {
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
        }
        LogFormat::Text => {
            let fields = debug_fn(text_field).delimited(" ");
            lines.with_ansi(false).with_target(false).fmt_fields(fields).init();
        }
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// `name=value`, but the sentence alone without a name, and the time of a request as the line's last word:
/// `awk '$NF > 1000'` finds the slow ones.
fn text_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(out, "{value:?}"),
        "responseTime" => write!(out, "responseTime {value:?}"),
        name => write!(out, "{name}={value:?}"),
    }
}

/// Logs a panic like any other line. Its message is omitted if it was formatted at run time: it may quote a value.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let said = panic.payload().downcast_ref::<&'static str>().copied();
    tracing::error!(
        "panic at {at}: {}",
        said.unwrap_or("(its message may hold data of a request)")
    );
}

/// Standard output without a system call for every line: the thread that writes flushes when no line waits any more.
fn standard_output() -> io::Result<BufWriter<File>> {
    Ok(BufWriter::with_capacity(BUFFER, io::stdout().as_fd().try_clone_to_owned()?.into()))
}
