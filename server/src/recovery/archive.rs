//! Reads a dump by `pg_restore`, and takes what that prints apart: the statements that a restore would execute, and how many rows there
//! are of each table. Nothing is executed, and there is no server.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use agentfs_contract::manifest::{Manifest, Table};
use agentfs_postgres::Pipes;
use memchr::memchr;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, BufReader};

use super::ddl::{self, Schema, Statement};
use super::error::RecoveryError;
use super::fetch::Fetched;
use super::loading::Entry;
use super::programs::Programs;
use crate::store::schema::{MIGRATIONS_TABLE, SCHEMA_VERSION, TABLES};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// Most bytes of one statement: none of ours comes near, and a dump is not trusted.
const MAX_STATEMENT: usize = 1 << 20;
/// Most statements.
const MAX_STATEMENTS: usize = 10_000;
/// Most foreign statements that are named.
const MAX_NAMED: usize = 5;

/// What is in a dump.
#[derive(Debug, Default)]
pub(super) struct Archive {
    /// The schema that a restore makes.
    pub(super) schema: Schema,
    /// The tables that it has rows of, and how many where they were counted.
    pub(super) rows: BTreeMap<String, Option<u64>>,
    /// The version of PostgreSQL that was dumped, by the dump's own word.
    postgres: Option<String>,
    /// What else than our tables it would make, by name: none where that is refused.
    pub(super) foreign: Vec<String>,
}

/// What becomes of a dump that would do anything else than fill our tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    /// It is refused, since its statements are executed.
    Refused,
    /// It is named, since only rows are taken.
    Named,
}

impl Archive {
    /// What of the dump is left out, as a sentence, where only rows are taken.
    pub(super) fn left_out(&self) -> Option<String> {
        let foreign = (!self.foreign.is_empty()).then(|| self.foreign.join(", "))?;
        Some(format!("Left out, since AgentFS does not have it: {foreign}."))
    }

    /// Reads all of a dump.
    pub(super) async fn read(
        programs: &Programs,
        fetched: &Fetched,
        manifest: &Manifest,
        foreign: Foreign,
    ) -> Result<Self, RecoveryError> {
        Self::print(programs, fetched, &ours(manifest), foreign, &["--no-tablespaces"]).await
    }

    /// Reads all of a dump but the rows, and refuses whatever is foreign. The rows are for whoever loads them to compare.
    pub(super) async fn read_statements(
        programs: &Programs,
        fetched: &Fetched,
        manifest: &Manifest,
    ) -> Result<Self, RecoveryError> {
        let (ours, options) = (ours(manifest), ["--no-tablespaces", "--schema-only"]);
        let mut archive = Self::print(programs, fetched, &ours, Foreign::Refused, &options).await?;
        let arguments = [OsStr::new("--list"), fetched.path().as_os_str()];
        let list = programs.run("pg_restore", &[], &arguments).await;
        let list = list.map_err(RecoveryError::of_dump)?;
        archive.rows = listed(&list, &archive.schema.name, &ours)?;
        Ok(archive)
    }

    /// Reads what `pg_restore` prints with these `options`.
    async fn print(
        programs: &Programs,
        fetched: &Fetched,
        ours: &BTreeSet<&str>,
        foreign: Foreign,
        options: &[&str],
    ) -> Result<Self, RecoveryError> {
        let selected = fetched.selected();
        let options = options.iter().map(OsStr::new);
        let arguments: Vec<&OsStr> = [OsStr::new("--file=-")]
            .into_iter()
            .chain(options)
            .chain(selected.iter().map(OsString::as_os_str))
            .collect();
        let pipes = Pipes { stdout: true, ..Pipes::default() };
        let mut running = programs.start("pg_restore", &[], &arguments, pipes)?;
        let mut script = Script::of(ours, foreign);
        let read = match running.stdout() {
            Some(stdout) => script.read(stdout).await,
            None => Ok(()),
        };
        // Where the rest was not read, its program could not go on.
        if !script.is_refused {
            running.ended().await.map_err(RecoveryError::of_dump)?;
        }
        read?;
        script.finish()
    }

    /// What it has of each table: rows alone.
    pub(super) fn tables(&self) -> BTreeMap<String, Table> {
        let table = |rows: Option<u64>| Table {
            rows: i64::try_from(rows.unwrap_or_default()).unwrap_or(i64::MAX),
            bytes: None,
            fingerprint: None,
        };
        self.rows.iter().map(|(name, rows)| (name.clone(), table(*rows))).collect()
    }

    /// What of it is not as the manifest says.
    pub(super) fn compare(&self, manifest: &Manifest) -> Vec<String> {
        let mut flaws = Vec::new();
        if let Some(postgres) =
            self.postgres.as_deref().filter(|own| *own != short(&manifest.postgres))
        {
            flaws.push(format!(
                "the dump is of PostgreSQL {postgres}, the manifest says {}",
                short(&manifest.postgres)
            ));
        }
        for (table, claimed) in &manifest.tables {
            match (self.schema.tables.contains(table), self.rows.get(table)) {
                (false, _) => flaws.push(format!("{table}: the table is not in the dump")),
                (true, None) => flaws.push(format!(
                    "{table}: the dump has no data of it, the manifest says {} rows",
                    claimed.rows
                )),
                (true, Some(Some(rows))) if i64::try_from(*rows) != Ok(claimed.rows) => {
                    flaws.push(format!("{table}: {rows} rows, the manifest says {}", claimed.rows));
                }
                (true, Some(_)) => {}
            }
        }
        for (table, rows) in &self.rows {
            let rows = rows.map_or_else(|| "the dump has".to_owned(), |rows| rows.to_string());
            if manifest.left_out.contains(table) {
                flaws.push(format!(
                    "{table}: {rows} rows, the manifest says that they are left out"
                ));
            } else if !manifest.tables.contains_key(table) && manifest.format > 1 {
                flaws.push(format!("{table}: {rows} rows, the manifest says nothing of it"));
            }
        }
        flaws
    }
}

/// "17.5" of "17.5 (Debian 17.5-1)".
fn short(version: &str) -> &str {
    version.split_whitespace().next().unwrap_or_default()
}

/// The tables that a dump may make: ours, and what a newer release says are its own. Whoever wrote the dump may have written the
/// manifest too, so none may have a name of PostgreSQL's own tables.
fn ours(manifest: &Manifest) -> BTreeSet<&str> {
    let claimed = manifest.tables.keys().chain(&manifest.left_out).map(String::as_str);
    let is_newer = manifest.schema_version > SCHEMA_VERSION;
    let claimed = claimed.filter(|name| is_newer && !name.starts_with("pg_"));
    TABLES.into_iter().chain([MIGRATIONS_TABLE]).chain(claimed).collect()
}

/// The tables of the schema `schema` that a dump with this table of contents has rows of, which all have to be of `ours`.
fn listed(
    list: &str,
    schema: &str,
    ours: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Option<u64>>, RecoveryError> {
    let entries = list.lines().filter_map(Entry::of);
    let (mut rows, mut named) = (BTreeMap::new(), Vec::new());
    for Entry { kind, schema: within, name } in entries {
        match kind {
            "TABLE DATA" if within == schema && ours.contains(name) => {
                rows.insert(name.to_owned(), None);
            }
            "TABLE DATA" => named.push(format!("COPY {within}.{name}")),
            "BLOBS" => named.push("large objects".to_owned()),
            _ => {}
        }
    }
    if named.is_empty() { Ok(rows) } else { Err(foreign(&named)) }
}

/// Whose rows follow a statement.
enum Rows {
    /// Those of this table of ours.
    Of(String),
    /// Those of a table of others, which are passed over.
    Foreign,
}

/// What `pg_restore` prints, as far as it was read.
struct Script<'a> {
    ours: &'a BTreeSet<&'a str>,
    foreign: Foreign,
    statements: Vec<Statement>,
    rows: BTreeMap<String, Option<u64>>,
    postgres: Option<String>,
    /// Lines of a statement that has not ended yet.
    pending: String,
    /// Whether what follows is not worth reading: it may be rows of which nothing is known, or has no end.
    is_refused: bool,
}

impl<'a> Script<'a> {
    fn of(ours: &'a BTreeSet<&'a str>, foreign: Foreign) -> Self {
        Self {
            ours,
            foreign,
            statements: Vec::new(),
            rows: BTreeMap::new(),
            postgres: None,
            pending: String::new(),
            is_refused: false,
        }
    }

    async fn read(&mut self, from: impl AsyncRead + Unpin) -> Result<(), RecoveryError> {
        let mut from = BufReader::with_capacity(PIECE, from);
        let mut line = Vec::new();
        while !self.is_refused {
            line.clear();
            read_line(&mut from, &mut line).await?;
            if line.is_empty() {
                break;
            }
            let Some(of) = self.take(&line)? else { continue };
            let rows = count_rows(&mut from).await?;
            if let Rows::Of(table) = of {
                *self.rows.entry(table).or_default().get_or_insert_default() += rows;
            }
        }
        Ok(())
    }

    /// Takes a line of SQL. Returns whose rows come next, if they do.
    fn take(&mut self, line: &[u8]) -> Result<Option<Rows>, RecoveryError> {
        let line =
            str::from_utf8(line).map_err(|_| flawed("a statement of the dump is not in UTF-8"))?;
        if self.pending.is_empty() {
            if let Some(version) = line.strip_prefix("-- Dumped from database version ") {
                self.postgres.get_or_insert_with(|| short(version).to_owned());
            }
            if ddl::is_for_psql(line) || line.trim().is_empty() || line.starts_with("--") {
                return Ok(None);
            }
        }
        self.pending.push_str(line);
        self.is_refused = self.pending.len() >= MAX_STATEMENT;
        if !line.trim_end().ends_with(';') {
            return Ok(None);
        }
        let Some(statements) = ddl::statements(&self.pending) else { return Ok(None) };
        self.pending.clear();
        let last = statements.last().filter(|last| ddl::is_copy(last));
        let copied = last.and_then(|last| match ddl::copied(last, self.ours) {
            Some(table) => Some(Rows::Of(table.to_owned())),
            None if self.foreign == Foreign::Named => ddl::has_rows(last).then_some(Rows::Foreign),
            None => None,
        });
        let is_lost = last.is_some() && copied.is_none();
        self.statements.extend(statements);
        self.is_refused = is_lost || self.statements.len() > MAX_STATEMENTS;
        Ok(copied)
    }

    fn finish(self) -> Result<Archive, RecoveryError> {
        let (schema, named) = ddl::check(&self.statements, self.ours);
        if !named.is_empty() && (self.foreign == Foreign::Refused || schema.name.is_empty()) {
            return Err(foreign(&named));
        }
        if self.is_refused {
            return Err(foreign(&["more than any schema of AgentFS".to_owned()]));
        }
        if !self.pending.trim().is_empty() {
            return Err(flawed("the dump ends within a statement"));
        }
        Ok(Archive { schema, rows: self.rows, postgres: self.postgres, foreign: named })
    }
}

fn flawed(sentence: &str) -> RecoveryError {
    RecoveryError::Flawed(sentence.to_owned())
}

fn foreign(named: &[String]) -> RecoveryError {
    let more = match named.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let named = named[..named.len().min(MAX_NAMED)].join(", ");
    RecoveryError::Flawed(format!(
        "the dump holds foreign DDL, which a restore would execute and AgentFS does not have: {named}{more}"
    ))
}

fn unreadable(error: &std::io::Error) -> RecoveryError {
    RecoveryError::Program { program: "pg_restore", said: error.to_string() }
}

/// Reads a line with its end, or as much of one as a statement may be long.
async fn read_line(
    from: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> Result<(), RecoveryError> {
    loop {
        let chunk = from.fill_buf().await.map_err(|error| unreadable(&error))?;
        let end = memchr(b'\n', chunk).map(|end| end + 1);
        let taken = end.unwrap_or(chunk.len());
        line.extend_from_slice(&chunk[..taken]);
        from.consume(taken);
        if end.is_some() || taken == 0 || line.len() >= MAX_STATEMENT {
            return Ok(());
        }
    }
}

/// Counts lines up to the one that ends the rows of a COPY.
async fn count_rows(from: &mut (impl AsyncBufRead + Unpin)) -> Result<u64, RecoveryError> {
    const END: &[u8] = b"\\.";
    // The first bytes of a line, which may lie in two pieces.
    let (mut rows, mut head) = (0, Vec::with_capacity(END.len() + 1));
    loop {
        let chunk = from.fill_buf().await.map_err(|error| unreadable(&error))?;
        if chunk.is_empty() {
            return Err(flawed("the dump ends within the rows of a table"));
        }
        let end = memchr(b'\n', chunk);
        let line = &chunk[..end.unwrap_or(chunk.len())];
        let missing = (END.len() + 1 - head.len()).min(line.len());
        head.extend_from_slice(&line[..missing]);
        let taken = line.len() + usize::from(end.is_some());
        from.consume(taken);
        if end.is_some() {
            if head == END {
                return Ok(rows);
            }
            rows += 1;
            head.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped from database version 17.5 (Debian)\n\
        SET standard_conforming_strings = on;\nCREATE TABLE public.tenants (\n    id uuid NOT NULL\n);\n";

    async fn read(script: &str) -> Result<Archive, String> {
        read_with(script, Foreign::Refused).await
    }

    async fn read_with(script: &str, foreign: Foreign) -> Result<Archive, String> {
        let ours = TABLES.into_iter().collect();
        let mut read = Script::of(&ours, foreign);
        // In pieces of a few bytes, so that each line lies in two.
        let pieces = script.as_bytes().chunks(7).map(Ok::<_, std::io::Error>);
        let reader = tokio_util::io::StreamReader::new(futures::stream::iter(pieces));
        let done = match read.read(reader).await {
            Ok(()) => read.finish(),
            Err(error) => Err(error),
        };
        done.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn rows_are_counted_and_are_no_statements() {
        let rows = "COPY public.tenants (id) FROM stdin;\n1\nDROP TABLE tenants;\n\\\\.\n\\.\n\n\nSELECT pg_catalog.set_config('search_path', '', false);\n";
        let archive = read(&format!("{HEAD}{rows}")).await.unwrap();
        assert_eq!(archive.rows, [("tenants".to_owned(), Some(3))].into());
        assert_eq!(archive.postgres.as_deref(), Some("17.5"));
        assert!(archive.schema.tables.contains("tenants"));
    }

    #[tokio::test]
    async fn whatever_does_more_is_named() {
        for (script, name) in [
            ("COPY public.tenants FROM PROGRAM 'id';\n", "COPY public.tenants FROM PROGRAM"),
            (
                "COPY public.tenants (id) FROM stdin;\n1\n\\.\nDROP TABLE public.tenants;\n",
                "DROP TABLE public.tenants",
            ),
            ("INSERT INTO public.tenants VALUES (1);\n", "INSERT INTO public.tenants VALUES"),
            ("COPY public.others (id) FROM stdin;\n1\n\\.\n", "COPY public.others"),
            ("COPY others.tenants (id) FROM stdin;\n1\n\\.\n", "COPY others.tenants"),
            ("COPY pg_catalog.tenants (id) FROM stdin;\n1\n\\.\n", "COPY pg_catalog.tenants"),
        ] {
            let error = read(&format!("{HEAD}{script}")).await.unwrap_err();
            assert!(error.contains("foreign DDL") && error.ends_with(name), "{error}");
        }
    }

    #[tokio::test]
    async fn where_only_rows_are_taken_others_are_passed_over_and_named() {
        let script = "CREATE FUNCTION public.f() RETURNS integer LANGUAGE sql AS $$ SELECT 1;\n SELECT 2; $$;\n\
            COPY public.others (id) FROM stdin;\n1\nDROP TABLE public.tenants;\n\\.\nCOPY public.tenants (id) FROM stdin;\n1\n2\n\\.\n";
        let archive = read_with(&format!("{HEAD}{script}"), Foreign::Named).await.unwrap();
        assert_eq!(archive.rows, [("tenants".to_owned(), Some(2))].into());
        assert_eq!(archive.tables()["tenants"].rows, 2);
        assert_eq!(archive.foreign, ["CREATE FUNCTION public.f", "COPY public.others"]);
        let script = "CREATE TABLE blue.entries (\n    id uuid NOT NULL\n);\n";
        let error = read_with(&format!("{HEAD}{script}"), Foreign::Named).await.unwrap_err();
        assert!(error.contains("tables in the schemas blue and public"), "{error}");
    }

    #[tokio::test]
    async fn what_does_not_end_is_not_whole() {
        for (script, what) in [
            ("COPY public.tenants (id) FROM stdin;\n1\n", "within the rows"),
            ("CREATE TABLE public.entries (\n", "within a statement"),
        ] {
            let error = read(&format!("{HEAD}{script}")).await.unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn without_rows_the_table_of_contents_says_whose_there_are() {
        let ours = TABLES.into_iter().collect();
        let list = "; Archive\n3401; 0 16735 TABLE DATA public api_keys agentfs\n222; 1259 16735 TABLE public tenants agentfs\n\
            3405; 0 16737 SEQUENCE SET public embedding_jobs_id_seq agentfs\n";
        let rows = listed(list, "public", &ours).unwrap();
        assert_eq!(rows, [("api_keys".to_owned(), None)].into());
        for (line, named) in [
            ("9; 0 1 TABLE DATA public others agentfs\n", "COPY public.others"),
            ("9; 0 1 TABLE DATA pg_catalog tenants agentfs\n", "COPY pg_catalog.tenants"),
            ("9; 0 0 BLOBS - BLOBS \n", "large objects"),
        ] {
            let error = listed(&format!("{list}{line}"), "public", &ours).unwrap_err().to_string();
            assert!(error.contains("foreign DDL") && error.ends_with(named), "{error}");
        }
    }
}
