//! The result: each figure beside its limit, as a table in Markdown.

use std::fmt;

/// A measured figure.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The figure.
    pub(crate) figure: Figure,
    /// What it has to keep to, if anything.
    pub(crate) limit: Option<Limit>,
    /// What the figure comes from.
    pub(crate) from: String,
}

/// A figure and its unit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Figure {
    /// Of two speeds.
    Ratio(f64),
    /// A time.
    Milliseconds(f64),
    /// Memory.
    Mebibytes(f64),
    /// Disk.
    Bytes(f64),
}

/// A limit, in the unit of its figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// A lower one.
    AtLeast(f64),
    /// An upper one.
    AtMost(f64),
}

impl Row {
    /// Whether the figure keeps to its limit.
    fn is_kept(&self) -> bool {
        let figure = self.figure.number();
        match self.limit {
            None => true,
            Some(Limit::AtLeast(limit)) => figure >= limit,
            Some(Limit::AtMost(limit)) => figure <= limit,
        }
    }
}

impl Figure {
    fn number(self) -> f64 {
        match self {
            Self::Ratio(number)
            | Self::Milliseconds(number)
            | Self::Mebibytes(number)
            | Self::Bytes(number) => number,
        }
    }

    /// A number in the same unit.
    fn with(self, number: f64) -> Self {
        match self {
            Self::Ratio(_) => Self::Ratio(number),
            Self::Milliseconds(_) => Self::Milliseconds(number),
            Self::Mebibytes(_) => Self::Mebibytes(number),
            Self::Bytes(_) => Self::Bytes(number),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(number) => write!(f, "{number:.2}"),
            Self::Milliseconds(number) if *number >= 100.0 => write!(f, "{number:.0} ms"),
            Self::Milliseconds(number) => write!(f, "{number:.1} ms"),
            Self::Mebibytes(number) => write!(f, "{number:.0} MiB"),
            Self::Bytes(number) => write!(f, "{number:.0} B"),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, figure, limit, from } = self;
        let limit = match limit {
            None => String::new(),
            Some(Limit::AtLeast(number)) => format!("at least {}", figure.with(*number)),
            Some(Limit::AtMost(number)) => format!("at most {}", figure.with(*number)),
        };
        let missed = if self.is_kept() { "" } else { ", **missed**" };
        write!(f, "| {what} | {figure} | {limit}{missed} | {from} |")
    }
}

/// All rows.
#[derive(Debug, Default)]
pub(crate) struct Table(pub(crate) Vec<Row>);

impl Table {
    /// Whether each limit is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.iter().all(Row::is_kept)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | figure | limit | from |\n|---|---|---|---|")?;
        self.0.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(figure: Figure, limit: Option<Limit>) -> Row {
        Row { what: "gets".into(), figure, limit, from: "1 ÷ 2".into() }
    }

    #[test]
    fn each_limit_decides() {
        use Figure::{Milliseconds, Ratio};
        use Limit::{AtLeast, AtMost};
        let kept = |figure, limit| Table(vec![row(figure, Some(limit))]).is_kept();
        assert!(kept(Ratio(0.8), AtLeast(0.8)) && !kept(Ratio(0.79), AtLeast(0.8)));
        assert!(kept(Milliseconds(4.0), AtMost(4.0)) && !kept(Milliseconds(4.1), AtMost(4.0)));
        assert!(!kept(Ratio(f64::NAN), AtLeast(0.8)) && !kept(Milliseconds(f64::NAN), AtMost(4.0)));
        assert!(Table(vec![row(Ratio(0.1), None)]).is_kept());
    }

    #[test]
    fn a_row_tells_a_missed_limit() {
        let text = |figure, limit| row(figure, Some(limit)).to_string();
        let ratio = text(Figure::Ratio(0.754), Limit::AtLeast(0.9));
        assert_eq!(ratio, "| gets | 0.75 | at least 0.90, **missed** | 1 ÷ 2 |");
        let memory = text(Figure::Mebibytes(20.4), Limit::AtMost(25.0));
        assert_eq!(memory, "| gets | 20 MiB | at most 25 MiB | 1 ÷ 2 |");
    }
}
