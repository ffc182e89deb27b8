//! Logs: to standard output from a thread of their own, so that no request waits for a slow reader, and beside the output of
//! commands. Acts of the audit log alone are waited for rather than dropped.

mod queue;
mod request_line;

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write as _};
use std::os::fd::AsFd as _;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use tracing::field::Field;
use tracing::{Dispatch, Level};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::util::SubscriberInitExt as _;

pub use self::queue::Flush;
use self::queue::{Limits, Queue};
pub use self::request_line::RequestLine;
use crate::audit;
use crate::settings::{LogFormat, LogSettings};

/// What may wait for a slow reader of standard output: the lines of about 20,000 requests, and of 1000 acts.
const LIMITS: Limits = Limits { requests: 8 << 20, lines: 9 << 20, acts: 512 << 10 };

/// How requests are logged; not at all without it.
static REQUESTS: OnceLock<RequestLog> = OnceLock::new();

/// Starts logging of a program that serves, to standard output; dropping the guard flushes.
pub fn start(settings: LogSettings) -> Result<Flush, String> {
    let started = standard_output().and_then(|output| Queue::start(output, LIMITS, say_dropped));
    let (queue, flush) = started.map_err(|e| e.to_string())?;
    log(queue.clone(), settings, RequestOutput::Queue(queue))?;
    Ok(flush)
}

/// Starts logging of a command to standard error, since its standard output is its result: warnings alone unless LOG_LEVEL
/// says otherwise.
pub fn start_beside_output() -> Result<(), String> {
    let default = LogSettings { format: format_for(&io::stderr()), level: Level::WARN };
    let settings = LogSettings::from_env(default).map_err(|e| e.to_string())?;
    log(io::stderr, settings, RequestOutput::StandardError)
}

/// The default format on `output`: text for a person at a terminal, JSON for the program that reads a file or a pipe.
pub fn format_for(output: &impl IsTerminal) -> LogFormat {
    if output.is_terminal() { LogFormat::Text } else { LogFormat::Json }
}

/// Logs a request, whose line has `fields`.
pub fn request(fields: impl FnOnce(&mut RequestLine<'_>)) {
    if let Some(requests) = REQUESTS.get() {
        requests.write(fields);
    }
}

fn log<W>(writer: W, settings: LogSettings, requests: RequestOutput) -> Result<(), String>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    subscriber(writer, settings)?.init();
    if settings.level >= Level::INFO {
        let requests = RequestLog { format: settings.format, output: requests };
        REQUESTS.set(requests).map_err(|_| "logging was started before")?;
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn subscriber<W>(writer: W, settings: LogSettings) -> Result<Dispatch, String>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // The audit log is written at every level.
    let filter = format!("warn,agentfs_server={},{}=info", settings.level, audit::TARGET);
    let filter = EnvFilter::try_new(filter).map_err(|e| e.to_string())?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match settings.format {
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).into()
        }
        LogFormat::Text => {
            let fields = debug_fn(text_field).delimited(" ");
            lines.with_ansi(false).with_target(false).fmt_fields(fields).into()
        }
    })
}

fn text_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    write!(out, "{}", TextField { name: field.name(), value })
}

/// `name=value`, but the sentence alone without a name, and the time of a request as the line's last word:
/// `awk '$NF > 1000'` finds the slow ones.
struct TextField<'a> {
    name: &'a str,
    value: &'a dyn fmt::Debug,
}

impl fmt::Display for TextField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value } = self;
        match *name {
            "message" => write!(f, "{value:?}"),
            "responseTime" => write!(f, "responseTime {value:?}"),
            name => write!(f, "{name}={value:?}"),
        }
    }
}

/// Where lines of requests go.
struct RequestLog {
    format: LogFormat,
    output: RequestOutput,
}

enum RequestOutput {
    Queue(Queue),
    StandardError,
}

impl RequestLog {
    fn write(&self, fields: impl FnOnce(&mut RequestLine<'_>)) {
        match &self.output {
            RequestOutput::Queue(queue) => {
                queue.request(|lines| RequestLine::write(self.format, lines, fields));
            }
            RequestOutput::StandardError => {
                let mut line = Vec::new();
                RequestLine::write(self.format, &mut line, fields);
                io::stderr().write_all(&line).ok();
            }
        }
    }
}

fn say_dropped(lines: u64) {
    tracing::warn!(
        "{lines} log lines were dropped, since standard output was not read fast enough"
    );
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

/// Standard output itself: the queue writes many lines at once.
fn standard_output() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tracing::dispatcher;

    use super::queue::tests::{Slow, text};
    use super::*;

    #[test]
    fn lines_of_requests_are_those_that_tracing_would_write() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let (taken, written) = mpsc::channel();
            let (queue, flush) = Queue::start(Slow { begin: None, taken }, LIMITS, |_| ()).unwrap();
            let requests = RequestLog { format, output: RequestOutput::Queue(queue.clone()) };
            let settings = LogSettings { format, level: Level::INFO };
            let (id, took) = ("a \"b\" \n \u{e9}", 0.25);
            dispatcher::with_default(&subscriber(queue, settings).unwrap(), || {
                tracing::info!(
                    target: request_line::TARGET,
                    request_id = id,
                    tenant = Some(display(7)),
                    status = 200_u16,
                    responseTime = took,
                );
            });
            requests.write(|line| {
                line.field("request_id", id);
                line.displayed("tenant", &7);
                line.field("status", &200_u16);
                line.field("responseTime", &took);
            });
            drop(flush);
            let text = text(&written);
            let lines: Vec<_> = text.lines().map(|line| line.split_once('Z').unwrap()).collect();
            let [(before, by_tracing), (at, by_hand)] = lines[..] else { panic!("{text}") };
            assert_eq!(by_hand, by_tracing);
            assert_eq!(at.len(), before.len(), "{text}");
        }
    }
}
