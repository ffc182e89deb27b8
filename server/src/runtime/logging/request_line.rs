//! The log line of a request. There is one for every request, so it is written by hand: the same bytes that tracing would write.

use std::fmt::{Debug, Display};
use std::io::Write as _;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::Serialize;

use super::TextField;
use crate::settings::LogFormat;

/// The target of these lines.
pub(super) const TARGET: &str = "agentfs_server::request";

/// As tracing writes moments.
const MOMENTS: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// A line that is being written.
#[derive(Debug)]
pub struct RequestLine<'a> {
    format: LogFormat,
    line: &'a mut Vec<u8>,
}

impl RequestLine<'_> {
    /// Appends a line with `fields`.
    pub(super) fn write(
        format: LogFormat,
        line: &mut Vec<u8>,
        fields: impl FnOnce(&mut RequestLine<'_>),
    ) {
        let (start, level, end) = match format {
            LogFormat::Json => (r#"{"timestamp":""#, r#"","level":"INFO""#, "}"),
            LogFormat::Text => ("", "  INFO", ""),
        };
        line.extend_from_slice(start.as_bytes());
        // Writing to memory does not fail.
        MOMENTS.print_timestamp(&Timestamp::now(), &mut *line).ok();
        line.extend_from_slice(level.as_bytes());
        let mut fields_of = RequestLine { format, line: &mut *line };
        fields(&mut fields_of);
        if format == LogFormat::Json {
            fields_of.field("target", TARGET);
        }
        line.extend_from_slice(end.as_bytes());
        line.push(b'\n');
    }

    /// Writes a field. Neither JSON nor text needs an escape in `name`.
    pub fn field<V: Serialize + Debug + ?Sized>(&mut self, name: &str, value: &V) {
        match self.format {
            LogFormat::Json => {
                for part in [",\"", name, "\":"] {
                    self.line.extend_from_slice(part.as_bytes());
                }
                serde_json::to_writer(&mut *self.line, value).ok();
            }
            LogFormat::Text => {
                write!(self.line, " {}", TextField { name, value: &value }).ok();
            }
        }
    }

    /// Writes a field as its value is displayed.
    pub fn displayed(&mut self, name: &str, value: &impl Display) {
        self.field(name, &format_args!("{value}"));
    }
}
