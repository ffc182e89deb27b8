//! Prints results: a sentence or a table for people, a JSON object for programs.

use std::fmt::{self, Display};
use std::io;

use agentfs_contract::verification::Step;
use serde::Serialize;

/// The output format. Its variants have no docs, so that the option's help stays one line.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum Output {
    // For people.
    #[default]
    Text,
    // For programs.
    Json,
}

impl Output {
    /// Prints a result. A reader that stops early, like `head`, is no error.
    pub(crate) fn print(self, result: &(impl Serialize + Display)) -> io::Result<()> {
        match self.write(io::stdout().lock(), result) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    fn write(self, mut out: impl io::Write, result: &(impl Serialize + Display)) -> io::Result<()> {
        match self {
            Self::Text => writeln!(out, "{result}")?,
            Self::Json => {
                serde_json::to_writer(&mut out, result)?;
                writeln!(out)?;
            }
        }
        out.flush()
    }
}

/// Rows under a heading, in aligned columns. Control characters are escaped, so that a row stays one line.
pub(crate) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(crate) fn new(
        heading: [&str; COLUMNS],
        rows: impl Iterator<Item = [String; COLUMNS]>,
    ) -> Self {
        let rows = rows.map(|row| row.map(|cell| escaped(&cell)));
        Self { rows: std::iter::once(heading.map(str::to_owned)).chain(rows).collect() }
    }
}

impl<const COLUMNS: usize> Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        for (index, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Steps with their seconds, one a line, aligned.
pub(crate) struct Seconds<'a>(pub(crate) &'a [Step]);

impl Display for Seconds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|step| step.name.len()).max().unwrap_or_default();
        for (index, Step { name, seconds }) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}  {name:width$}  {seconds:>8.2} s")?;
        }
        Ok(())
    }
}

fn escaped(cell: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    cell.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be_and_rows_are_lines() {
        let rows = [["Acme".into(), "12".into()], ["a\nb".into(), "7".into()]];
        let table = Table::new(["NAME", "KEYS"], rows.into_iter()).to_string();
        assert_eq!(table, "NAME  KEYS\nAcme  12\na\\nb  7");
    }
}
