//! Logs: to standard output from threads of their own, so that no request waits for a slow reader, and beside the output of
//! commands. Acts of the audit log alone are waited for rather than dropped.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd as _;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::Field;
use tracing::{Level, Metadata};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::audit;
use crate::settings::{LogFormat, LogSettings};

/// Bytes of log lines that go out at once when they come faster than they are written.
const BUFFER: usize = 64 << 10;
/// Lines that may wait for a slow reader. Further ones are dropped, but acts have room of their own, and then wait.
const LINES: usize = 128_000;
const ACTS: usize = 1000;

/// Starts logging of a program that serves, to standard output; dropping the guard flushes.
pub fn start(settings: LogSettings) -> Result<Flush, String> {
    let output = standard_output().map_err(|e| e.to_string())?;
    let (writers, flush) = Writers::new(output, LINES, ACTS);
    write_to(writers, settings)?;
    Ok(flush)
}

/// Writes what still waits when it is dropped.
#[derive(Debug)]
pub struct Flush {
    _lines: WorkerGuard,
    _acts: WorkerGuard,
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
    // The audit log is written at every level.
    let filter = format!("warn,agentfs_server={},{}=info", settings.level, audit::TARGET);
    let filter = EnvFilter::try_new(filter).map_err(|e| e.to_string())?;
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

/// One output, and two queues of lines that wait for it.
#[derive(Debug)]
struct Writers {
    /// Drops lines when it is full.
    lines: NonBlocking,
    /// Blocks when it is full.
    acts: NonBlocking,
}

impl Writers {
    fn new<W: Write + Send + 'static>(output: W, lines: usize, acts: usize) -> (Self, Flush) {
        let output = WholeLines(Arc::new(Mutex::new(output)));
        let queue = |lossy, limit, name| {
            let queue = NonBlockingBuilder::default().lossy(lossy).buffered_lines_limit(limit);
            queue.thread_name(name).finish(output.clone())
        };
        let (lines, lines_end) = queue(true, lines, "log");
        let (acts, acts_end) = queue(false, acts, "audit-log");
        (Self { lines, acts }, Flush { _lines: lines_end, _acts: acts_end })
    }
}

impl<'a> MakeWriter<'a> for Writers {
    type Writer = NonBlocking;

    fn make_writer(&'a self) -> NonBlocking {
        self.lines.clone()
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> NonBlocking {
        if audit::is_act(line) { self.acts.clone() } else { self.lines.clone() }
    }
}

/// An output of two threads, each of which writes a line at a time.
struct WholeLines<W>(Arc<Mutex<W>>);

impl<W> WholeLines<W> {
    fn output(&self) -> MutexGuard<'_, W> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> Clone for WholeLines<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W: Write> Write for WholeLines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.output().write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output().flush()
    }
}

/// Standard output without a system call for every line: the thread that writes flushes when no line waits any more.
fn standard_output() -> io::Result<BufWriter<File>> {
    Ok(BufWriter::with_capacity(BUFFER, io::stdout().as_fd().try_clone_to_owned()?.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// An output whose reader takes nothing until it is told to.
    struct Slow {
        begin: Option<mpsc::Receiver<()>>,
        taken: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            if let Some(begin) = self.begin.take() {
                begin.recv().ok();
            }
            self.taken.send(line.to_vec()).ok();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn acts_wait_for_a_slow_reader_where_other_lines_are_dropped() {
        let (begin, told) = mpsc::channel();
        let (taken, lines) = mpsc::channel();
        let (writers, flush) = Writers::new(Slow { begin: Some(told), taken }, 10, 10);
        let subscriber = tracing_subscriber::fmt().with_writer(writers).with_ansi(false).finish();
        let writing = thread::spawn(move || {
            tracing::subscriber::with_default(subscriber, || {
                for n in 0..100 {
                    tracing::info!(target: "agentfs_server::request", n);
                }
                for n in 0..100 {
                    // As many as have room; the others may have to wait.
                    if n == 10 {
                        begin.send(()).ok();
                    }
                    tracing::info!(target: audit::TARGET, n, "audit");
                }
            });
        });
        writing.join().unwrap();
        drop(flush);
        let lines: Vec<String> =
            lines.try_iter().map(|line| String::from_utf8(line).unwrap()).collect();
        let count = |target| lines.iter().filter(|line| line.contains(target)).count();
        assert_eq!(count(audit::TARGET), 100);
        assert!(count("agentfs_server::request") < 100, "{lines:?}");
    }
}
