//! Log lines wait here for the thread that writes them: no request waits for a slow reader of standard output, and what waits is
//! bounded.

use std::io::{self, Write};
use std::mem::{swap, take};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use crate::audit;

/// How long lines of requests gather until they are written at once: waking a thread costs more than a line does.
const GATHER: Duration = Duration::from_millis(10);
/// The longest that the end of the process waits for a slow reader.
const END: Duration = Duration::from_secs(1);
/// Room that stays allocated once what had gathered is written.
const KEPT: usize = 256 << 10;

/// Most bytes that wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// With more waiting than this, lines of requests are dropped.
    pub requests: usize,
    /// With more waiting than this, all other lines are dropped as well.
    pub lines: usize,
    /// With more of them waiting than this, acts wait for room. They are never dropped.
    pub acts: usize,
}

/// Lines that wait; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    waiting: Mutex<Waiting>,
    /// Something waits to be written, or the end has come.
    filled: Condvar,
    /// What waited is being written, or the end is over.
    taken: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    acts: Vec<u8>,
    /// Lines that were dropped since the last ones were taken.
    dropped: u64,
    /// Something is not to wait until more has gathered.
    is_urgent: bool,
    is_ending: bool,
    is_over: bool,
}

/// Writes what still waits when it is dropped.
#[derive(Debug)]
pub struct Flush(Queue);

impl Queue {
    /// Has a thread write to `output`, and call `say` with the number of lines that had to be dropped.
    pub(super) fn start(
        output: impl Write + Send + 'static,
        limits: Limits,
        say: impl Fn(u64) + Send + 'static,
    ) -> io::Result<(Self, Flush)> {
        let (filled, taken) = (Condvar::new(), Condvar::new());
        let queue = Self(Arc::new(Shared { limits, waiting: Mutex::default(), filled, taken }));
        let writing = queue.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || writing.write(output, say))?;
        let flush = Flush(queue.clone());
        Ok((queue, flush))
    }

    /// Has `write` append the line of a request.
    pub(super) fn request(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = self.waiting();
        let wakes = waiting.lines.is_empty();
        waiting.append(self.0.limits.requests, write);
        drop(waiting);
        if wakes {
            self.0.filled.notify_one();
        }
    }

    fn line(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        waiting.append(self.0.limits.lines, |lines| lines.extend_from_slice(line));
        self.hurry(waiting);
    }

    fn act(&self, line: &[u8]) {
        let is_full =
            |waiting: &mut Waiting| waiting.acts.len() >= self.0.limits.acts && !waiting.is_over;
        let waiting = self.0.taken.wait_while(self.waiting(), is_full);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.acts.extend_from_slice(line);
        self.hurry(waiting);
    }

    fn hurry(&self, mut waiting: MutexGuard<'_, Waiting>) {
        waiting.is_urgent = true;
        drop(waiting);
        self.0.filled.notify_one();
    }

    /// Writes until the end, and then what waits.
    fn write(&self, mut output: impl Write, say: impl Fn(u64)) {
        let (mut lines, mut acts) = (Vec::new(), Vec::new());
        while let Some(dropped) = self.take(&mut lines, &mut acts) {
            for taken in [&mut acts, &mut lines] {
                // Where standard output is closed there is nobody to tell.
                output.write_all(taken).ok();
                taken.clear();
                taken.shrink_to(KEPT);
            }
            output.flush().ok();
            if dropped > 0 {
                say(dropped);
            }
        }
    }

    /// Waits for lines and acts and takes them, with the number of lines that were dropped; `None` at the end.
    fn take(&self, lines: &mut Vec<u8>, acts: &mut Vec<u8>) -> Option<u64> {
        let filled = &self.0.filled;
        let is_idle = |waiting: &mut Waiting| waiting.is_empty() && !waiting.is_ending;
        let waiting = filled.wait_while(self.waiting(), is_idle);
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let gathers = |waiting: &mut Waiting| !waiting.is_urgent && !waiting.is_ending;
        let gathered = filled.wait_timeout_while(waiting, GATHER, gathers);
        let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        waiting.is_over = waiting.is_empty();
        waiting.is_urgent = false;
        swap(lines, &mut waiting.lines);
        swap(acts, &mut waiting.acts);
        let dropped = take(&mut waiting.dropped);
        let goes_on = !waiting.is_over;
        drop(waiting);
        self.0.taken.notify_all();
        goes_on.then_some(dropped)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.acts.is_empty()
    }

    fn append(&mut self, limit: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if self.lines.len() < limit {
            write(&mut self.lines);
        } else {
            self.dropped += 1;
        }
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.is_ending = true;
        self.0.0.filled.notify_one();
        let goes_on = |waiting: &mut Waiting| !waiting.is_over;
        drop(self.0.0.taken.wait_timeout_while(waiting, END, goes_on));
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { queue: self, is_act: false }
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> LineWriter<'a> {
        LineWriter { queue: self, is_act: audit::is_act(line) }
    }
}

/// Takes one line, which tracing writes at once.
#[derive(Debug)]
pub(super) struct LineWriter<'a> {
    queue: &'a Queue,
    is_act: bool,
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.is_act {
            self.queue.act(line);
        } else {
            self.queue.line(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    use super::*;

    /// An output whose reader takes nothing until it is told to.
    pub(in crate::runtime::logging) struct Slow {
        pub(in crate::runtime::logging) begin: Option<mpsc::Receiver<()>>,
        pub(in crate::runtime::logging) taken: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            if let Some(begin) = self.begin.take() {
                begin.recv().ok();
            }
            self.taken.send(lines.to_vec()).ok();
            Ok(lines.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// All that was written.
    pub(in crate::runtime::logging) fn text(taken: &mpsc::Receiver<Vec<u8>>) -> String {
        String::from_utf8(taken.try_iter().flatten().collect()).unwrap()
    }

    #[test]
    fn acts_wait_for_a_slow_reader_where_other_lines_are_dropped_those_of_requests_first() {
        let (begin, told) = mpsc::channel();
        let (taken, written) = mpsc::channel();
        let limits = Limits { requests: 100, lines: 200, acts: 100 };
        let said = Arc::new(AtomicU64::new(0));
        let all_said = said.clone();
        let say = move |dropped| {
            all_said.fetch_add(dropped, Ordering::Relaxed);
        };
        let (queue, flush) = Queue::start(Slow { begin: Some(told), taken }, limits, say).unwrap();
        let writing = thread::spawn(move || {
            for _ in 0..100 {
                queue.request(|line| line.extend_from_slice(b"request\n"));
            }
            for _ in 0..100 {
                queue.line(b"line\n");
            }
            for number in 0..100 {
                // As many as have room; the others have to wait.
                if number == 10 {
                    begin.send(()).ok();
                }
                queue.act(b"act\n");
            }
        });
        writing.join().unwrap();
        drop(flush);
        let text = text(&written);
        let count = |line| text.lines().filter(|written| *written == line).count() as u64;
        assert_eq!(count("act"), 100, "{text}");
        let (requests, lines) = (count("request"), count("line"));
        assert!((1..100).contains(&requests) && (1..100).contains(&lines), "{text}");
        assert_eq!(requests + lines + said.load(Ordering::Relaxed), 200, "{text}");
    }

    #[test]
    fn lines_of_requests_gather_and_go_with_the_next_other_line_or_the_end() {
        let (taken, written) = mpsc::channel();
        let limits = Limits { requests: 1 << 20, lines: 1 << 20, acts: 1 << 20 };
        let (queue, flush) =
            Queue::start(Slow { begin: None, taken }, limits, |_| unreachable!()).unwrap();
        for _ in 0..1000 {
            queue.request(|line| line.extend_from_slice(b"request\n"));
        }
        queue.line(b"line\n");
        queue.request(|line| line.extend_from_slice(b"last\n"));
        drop(flush);
        let parts: Vec<Vec<u8>> = written.try_iter().filter(|part| !part.is_empty()).collect();
        assert!(parts.len() < 100, "{}", parts.len());
        assert_eq!(
            String::from_utf8(parts.concat()).unwrap(),
            "request\n".repeat(1000) + "line\nlast\n"
        );
    }
}
