//! The rows of a table in a dump, as `pg_restore` prints them.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::pin::pin;

use agentfs_postgres::Pipes;
use async_stream::try_stream;
use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt as _};
use memchr::memchr;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::ChildStdout;

use crate::recovery::ddl;
use crate::recovery::error::RecoveryError;
use crate::recovery::programs::{Programs, Running};

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;
/// Most bytes of a line before the rows: none of ours comes near, and a dump is not trusted.
const MAX_LINE: usize = 1 << 20;
/// The line after the last row.
const END: &[u8] = b"\\.\n";

/// Some of the rows, in PostgreSQL's text format.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    /// How many rows end in it.
    pub(super) rows: u64,
}

/// The rows of a table.
#[derive(Debug)]
pub(super) struct Rows {
    running: Running,
    output: Output<ChildStdout>,
    /// The columns of their fields.
    pub(super) columns: Vec<String>,
}

impl Rows {
    /// Starts `pg_restore` for the table `table` in the schema `schema` of the dump at `path`.
    pub(super) async fn begin(
        programs: &Programs,
        path: &Path,
        schema: &str,
        table: &str,
    ) -> Result<Self, RecoveryError> {
        let fixed = ["--file=-", "--section=data"].map(OsString::from);
        let chosen = [format!("--schema={schema}"), format!("--table={table}")].map(OsString::from);
        let arguments: Vec<&OsStr> = fixed.iter().chain(&chosen).map(OsString::as_os_str).collect();
        let arguments = [&arguments[..], &[path.as_os_str()]].concat();
        let pipes = Pipes { stdout: true, ..Pipes::default() };
        let mut running = programs.start("pg_restore", &[], &arguments, pipes)?;
        let Some(stdout) = running.stdout() else {
            return Err(failed("its output cannot be read".to_owned()));
        };
        let mut output = Output::of(stdout);
        let Some(columns) = output.columns(schema, table).await? else {
            running.ended().await.map_err(RecoveryError::of_whole_dump)?;
            return Err(flawed("the dump has none of them"));
        };
        Ok(Self { running, output, columns })
    }

    /// All of them. The stream fails where `pg_restore` does, however much it has printed.
    pub(super) fn into_pieces(self) -> impl Stream<Item = Result<Piece, RecoveryError>> {
        let Self { running, mut output, .. } = self;
        try_stream! {
            while let Some(piece) = output.piece().await? {
                yield piece;
            }
            let is_whole = output.is_ended;
            output.drain().await?;
            running.ended().await.map_err(RecoveryError::of_whole_dump)?;
            if !is_whole {
                Err(flawed("the dump ends within them"))?;
            }
        }
    }
}

/// A field of the first row of a table in the dump at `path`, if it has one. `table` is the table and the column; its values have no
/// characters that are escaped.
pub(super) async fn field(
    programs: &Programs,
    path: &Path,
    schema: &str,
    (table, column): (&str, &str),
) -> Result<Option<String>, RecoveryError> {
    let rows = Rows::begin(programs, path, schema, table).await?;
    let at = rows.columns.iter().position(|name| name == column);
    let first = first_line(rows.into_pieces()).await?;
    let field = first.zip(at).and_then(|(row, at)| row.split('\t').nth(at).map(str::to_owned));
    Ok(field)
}

/// The first of the rows; what follows is not read.
async fn first_line(
    pieces: impl Stream<Item = Result<Piece, RecoveryError>>,
) -> Result<Option<String>, RecoveryError> {
    let mut pieces = pin!(pieces);
    let mut line = Vec::new();
    while let Some(piece) = pieces.try_next().await? {
        let end = memchr(b'\n', &piece.bytes);
        line.extend_from_slice(&piece.bytes[..end.unwrap_or(piece.bytes.len())]);
        if line.len() > MAX_LINE {
            return Err(flawed("the first of them has no end"));
        }
        if end.is_some() {
            return Ok(String::from_utf8(line).ok());
        }
    }
    Ok(None)
}

fn flawed(sentence: &str) -> RecoveryError {
    RecoveryError::Flawed(sentence.to_owned())
}

fn failed(said: String) -> RecoveryError {
    RecoveryError::Program { program: "pg_restore", said }
}

/// What `pg_restore` prints.
#[derive(Debug)]
struct Output<R> {
    from: R,
    /// What was read and not passed on.
    buffer: BytesMut,
    begins_line: bool,
    is_ended: bool,
}

impl<R: AsyncRead + Unpin> Output<R> {
    fn of(from: R) -> Self {
        Self { from, buffer: BytesMut::new(), begins_line: true, is_ended: false }
    }

    /// Reads on; false at the end.
    async fn more(&mut self) -> Result<bool, RecoveryError> {
        self.buffer.reserve(PIECE);
        let read = self.from.read_buf(&mut self.buffer).await;
        Ok(read.map_err(|error| failed(error.to_string()))? > 0)
    }

    /// Skips all before the rows, which is not for us; `None` where there are none.
    async fn columns(
        &mut self,
        schema: &str,
        table: &str,
    ) -> Result<Option<Vec<String>>, RecoveryError> {
        while let Some(line) = self.line().await? {
            let Ok(line) = str::from_utf8(&line) else {
                return Err(flawed("what is before them is not in UTF-8"));
            };
            if let Some(encoding) = line.strip_prefix("SET client_encoding = ")
                && encoding.trim_end() != "'UTF8';"
            {
                return Err(flawed(&format!(
                    "the dump is encoded in {}, and UTF8 is needed: make it anew by pg_dump --encoding=UTF8",
                    encoding.trim_end().trim_matches(['\'', ';'])
                )));
            }
            if line.starts_with("COPY ") {
                let statement = ddl::statements(line).and_then(|mut all| all.pop());
                let columns = statement.and_then(|copy| ddl::copied_columns(&copy, schema, table));
                return columns.map(Some).ok_or_else(|| {
                    flawed("the dump begins them by another statement than pg_dump writes")
                });
            }
        }
        Ok(None)
    }

    async fn line(&mut self) -> Result<Option<BytesMut>, RecoveryError> {
        loop {
            if let Some(end) = memchr(b'\n', &self.buffer) {
                return Ok(Some(self.buffer.split_to(end + 1)));
            }
            if self.buffer.len() > MAX_LINE {
                return Err(flawed("what is before them has a line without end"));
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    /// The next rows; `None` at their end, or at that of the output.
    async fn piece(&mut self) -> Result<Option<Piece>, RecoveryError> {
        while !self.is_ended {
            let scanned = scan(&self.buffer, self.begins_line);
            self.begins_line = scanned.begins_line;
            self.is_ended = scanned.is_ended;
            if scanned.bytes > 0 {
                let bytes = self.buffer.split_to(scanned.bytes).freeze();
                return Ok(Some(Piece { bytes, rows: scanned.rows }));
            }
            if !self.is_ended && !self.more().await? {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Reads what is left, since the program waits for that.
    async fn drain(&mut self) -> Result<(), RecoveryError> {
        loop {
            self.buffer.clear();
            if !self.more().await? {
                return Ok(());
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Scanned {
    /// How many bytes are of rows.
    bytes: usize,
    rows: u64,
    /// Whether what follows them begins a line.
    begins_line: bool,
    /// Whether the line that ends the rows follows.
    is_ended: bool,
}

/// Looks for the line that ends the rows. What may be the beginning of it is left for the next time.
fn scan(buffer: &[u8], begins_line: bool) -> Scanned {
    let mut scanned = Scanned { bytes: 0, rows: 0, begins_line, is_ended: false };
    loop {
        let rest = &buffer[scanned.bytes..];
        if scanned.begins_line {
            scanned.is_ended = rest.starts_with(END);
            if scanned.is_ended || END.starts_with(rest) {
                return scanned;
            }
        }
        let end = memchr(b'\n', rest).map(|end| end + 1);
        scanned.bytes += end.unwrap_or(rest.len());
        scanned.begins_line = end.is_some();
        scanned.rows += u64::from(end.is_some());
        if end.is_none() {
            return scanned;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    const HEAD: &str = "--\n\\restrict abc\nSET client_encoding = 'UTF8';\n\nCOPY public.tenants (id, \"na,me\") FROM stdin;\n";

    /// What is made of a script that comes in pieces of `size` bytes: the columns, the rows, how many, and whether they end.
    async fn read(script: &str, size: usize) -> Result<(Vec<String>, String, u64, bool), String> {
        let pieces = script.as_bytes().chunks(size).map(Ok::<_, std::io::Error>);
        let mut output =
            Output::of(tokio_util::io::StreamReader::new(futures::stream::iter(pieces)));
        let columns =
            output.columns("public", "tenants").await.map_err(|error| error.to_string())?;
        let (mut text, mut rows) = (Vec::new(), 0);
        while let Some(piece) = output.piece().await.map_err(|error| error.to_string())? {
            text.extend_from_slice(&piece.bytes);
            rows += piece.rows;
        }
        let text = String::from_utf8(text).unwrap();
        Ok((columns.unwrap_or_default(), text, rows, output.is_ended))
    }

    #[tokio::test]
    async fn rows_are_passed_on_as_they_are_to_the_line_that_ends_them() {
        let rows = "1\ta\n\\\\.\t\\\\.\n\\N\t\\.\n2\t\n";
        let script = format!("{HEAD}{rows}\\.\n\n\nSELECT 1;\n\\.\n");
        for size in 1..9 {
            let (columns, text, counted, is_ended) = read(&script, size).await.unwrap();
            assert_eq!(columns, ["id", "na,me"]);
            assert_eq!((text.as_str(), counted, is_ended), (rows, 4, true), "{size}");
        }
        let cut = read(&format!("{HEAD}1\ta\n\\."), 3).await.unwrap();
        assert_eq!((cut.1.as_str(), cut.3), ("1\ta\n", false));
        assert_eq!(read(&format!("{HEAD}\\.\n"), 3).await.unwrap().1, "");
    }

    #[tokio::test]
    async fn only_rows_of_the_table_in_utf8_are_taken() {
        for (head, why) in [
            ("COPY public.tenants (id) FROM PROGRAM 'id';\n", "another statement"),
            ("COPY public.entries (id) FROM stdin;\n", "another statement"),
            ("COPY other.tenants (id) FROM stdin;\n", "another statement"),
            ("COPY public.tenants (id, now()) FROM stdin;\n", "another statement"),
            ("COPY (SELECT 1) TO STDOUT;\n", "another statement"),
            ("SET client_encoding = 'LATIN1';\n", "encoded in LATIN1"),
        ] {
            let said = read(head, 5).await.unwrap_err();
            assert!(said.contains(why), "{head}: {said}");
        }
        assert_eq!(read("SELECT 1;\n", 5).await.unwrap(), (vec![], String::new(), 0, false));
    }

    #[tokio::test]
    async fn of_rows_without_end_only_the_first_is_read() {
        let piece = |text: &str| Piece { bytes: Bytes::copy_from_slice(text.as_bytes()), rows: 0 };
        let first = async |begin: &[&str], then: &'static str| {
            let begin: Vec<_> = begin.iter().map(|text| Ok(piece(text))).collect();
            let endless = futures::stream::repeat_with(|| Ok(piece(then)));
            first_line(futures::stream::iter(begin).chain(endless)).await
        };
        assert_eq!(first(&["14\t", "9\n1"], "5\n").await.unwrap().as_deref(), Some("14\t9"));
        assert!(first(&["14\t"], "9999").await.unwrap_err().to_string().contains("no end"));
    }
}
