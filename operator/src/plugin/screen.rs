//! Where a command tells how it goes: lines that stay, and one that is rewritten where it is a terminal.

use std::io::{self, IsTerminal as _, Write};

/// Where it is told.
pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    /// How many columns there are, where the last line can be rewritten.
    columns: Option<usize>,
    /// Whether there is such a line.
    open: bool,
    /// What was last told of what goes on.
    mark: String,
}

impl Screen {
    /// Standard output; or standard error, where the other is for the result alone.
    pub(super) fn new(beside_result: bool) -> Self {
        if beside_result {
            return Self::on(Box::new(io::stderr()), io::stderr().is_terminal());
        }
        Self::on(Box::new(io::stdout()), io::stdout().is_terminal())
    }

    /// On something else.
    pub(super) fn on(out: Box<dyn Write + Send>, terminal: bool) -> Self {
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let columns = terminal.then(|| columns.filter(|columns| *columns > 10).unwrap_or(80));
        Self { out, columns, open: false, mark: String::new() }
    }

    /// A line that stays.
    pub(super) fn line(&mut self, text: &str) {
        let start = if self.open { "\r\x1b[2K" } else { "" };
        self.open = false;
        // Who reads it may be gone, as `head` is; the work goes on.
        let _ = writeln!(self.out, "{start}{text}");
    }

    /// What goes on. On a terminal it takes the place of what was last said of that. Elsewhere it is a line, once for each `mark`.
    pub(super) fn live(&mut self, mark: &str, text: &str) {
        match self.columns {
            Some(columns) => {
                // A line that wraps cannot be rewritten.
                let text: String = text.chars().take(columns - 1).collect();
                let _ = write!(self.out, "\r\x1b[2K{text}").and_then(|()| self.out.flush());
                self.open = true;
            }
            None if self.mark == mark => {}
            None => self.line(text),
        }
        mark.clone_into(&mut self.mark);
    }

    /// A question, behind which the answer is typed.
    pub(super) fn ask(&mut self, text: &str) {
        let _ = write!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    /// Takes away what is to be rewritten.
    pub(super) fn settle(&mut self) {
        if std::mem::take(&mut self.open) {
            let _ = write!(self.out, "\r\x1b[2K").and_then(|()| self.out.flush());
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written.
    #[derive(Clone, Default)]
    pub(in crate::plugin) struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        pub(in crate::plugin) fn screen(&self, terminal: bool) -> Screen {
            let mut screen = Screen::on(Box::new(self.clone()), terminal);
            screen.columns = terminal.then_some(20);
            screen
        }

        pub(in crate::plugin) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn tell(screen: &mut Screen) {
        screen.live("Loading", "  Loading 3%   1 s");
        screen.live("Loading", "  Loading 37%   2 s");
        screen.line("  loaded   2 s");
        screen.live("Verifying", "  Verifying, and that for longer than a line");
        screen.settle();
    }

    #[test]
    fn a_line_is_rewritten_on_a_terminal_and_written_once_elsewhere() {
        let paper = Paper::default();
        tell(&mut paper.screen(true));
        assert_eq!(
            paper.text(),
            "\r\x1b[2K  Loading 3%   1 s\r\x1b[2K  Loading 37%   2 s\r\x1b[2K  loaded   2 s\n\
             \r\x1b[2K  Verifying, and th\r\x1b[2K"
        );
        let paper = Paper::default();
        tell(&mut paper.screen(false));
        assert_eq!(
            paper.text(),
            "  Loading 3%   1 s\n  loaded   2 s\n  Verifying, and that for longer than a line\n"
        );
    }
}
