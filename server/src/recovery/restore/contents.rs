//! What the table of contents of a file says, as `pg_restore --list` prints it, in place of a manifest.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::recovery::loading::{Entry, RESERVED};
use crate::store::schema::{MIGRATIONS_TABLE, TABLES};

/// What is left out without a word, beside what comes with a table: nothing of it is restored anywhere.
const UNSAID: [&str; 3] = ["ACL", "COMMENT", "SCHEMA"];
/// Entries of a table whose name is the first word of their tag.
const OF_TABLE: [&str; 6] =
    ["TABLE", "TABLE DATA", "CONSTRAINT", "FK CONSTRAINT", "CHECK CONSTRAINT", "DEFAULT"];
/// Entries that do not name a table: whose they are shows when the dump is read.
const OF_ANY: [&str; 3] = ["SEQUENCE", "SEQUENCE SET", "INDEX"];
/// A table that is not logged: no backup has its rows, which count for a minute.
pub(super) const UNLOGGED: &str = "rate_limits";
/// Most of what is left out that is named.
const MAX_NAMED: usize = 5;

/// What a table of contents says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents {
    /// When it was made, if the machine that made it had UTC.
    pub(super) created_at: Timestamp,
    /// The version of PostgreSQL.
    pub(super) postgres: String,
    /// The version of `pg_dump`.
    pub(super) pg_dump: String,
    /// Our tables that it makes.
    pub(super) tables: BTreeSet<String>,
    /// Its lines of what is ours, as `pg_restore --use-list` takes them.
    pub(super) selection: String,
    /// What else is in it.
    left_out: BTreeSet<String>,
}

/// The table that an entry is of, if it is of one.
fn table<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    OF_TABLE.contains(&entry.kind).then(|| entry.name.split(' ').next().unwrap_or_default())
}

impl Contents {
    /// Takes a list apart. Fails with why the dump cannot be restored.
    pub(super) fn of(list: &str) -> Result<Self, String> {
        let said = |what: &str| {
            let said = list
                .lines()
                .filter_map(|line| line.trim_start_matches([';', ' ']).strip_prefix(what));
            said.map(str::trim).next().ok_or_else(|| format!("its head does not say {what:?}"))
        };
        let created_at = said("Archive created at ")?;
        let created_at = moment(created_at)
            .ok_or_else(|| format!("its head says {created_at:?} of its time"))?;
        if said("Format: ")? != "CUSTOM" {
            return Err("it is in another format: make one by `pg_dump -Fc`".to_owned());
        }
        let schema = schema(list)?;
        let (mut tables, mut left_out, mut selection) =
            (BTreeSet::new(), BTreeSet::new(), String::new());
        for line in list.lines() {
            let Some(entry) = Entry::of(line) else { continue };
            if is_ours(&entry, schema) {
                selection.extend([line, "\n"]);
                tables.extend(table(&entry).filter(|_| entry.kind == "TABLE").map(str::to_owned));
            } else if entry.schema != "-" && entry.schema != schema {
                left_out.insert(format!("the schema {}", entry.schema));
            } else if entry.kind == "TABLE"
                || !(UNSAID.contains(&entry.kind) || OF_TABLE.contains(&entry.kind))
            {
                left_out.insert(format!("{} {}", entry.kind, entry.name));
            }
        }
        Ok(Self {
            created_at,
            postgres: said("Dumped from database version: ")?.to_owned(),
            pg_dump: said("Dumped by pg_dump version: ")?.to_owned(),
            tables,
            selection,
            left_out,
        })
    }

    /// What cannot be checked of such a file, and what is left out of it.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "It has no manifest: no sum and no fingerprint tells whether it was changed; its rows are counted when it is read, and again once \
             they are loaded."
                .to_owned(),
            "Nor does it say of which database it is: keys that it alone has are those of another one.".to_owned(),
            "Its moment is what the clock showed, in its own time zone, of the machine that made it.".to_owned(),
        ];
        if !self.left_out.is_empty() {
            let more = match self.left_out.len().saturating_sub(MAX_NAMED) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let named: Vec<&str> =
                self.left_out.iter().take(MAX_NAMED).map(String::as_str).collect();
            notes.push(format!("Not ours, and left out: {}{more}.", named.join(", ")));
        }
        notes
    }
}

/// The schema that our tables are in.
fn schema(list: &str) -> Result<&str, String> {
    let schemas: BTreeSet<&str> = list
        .lines()
        .filter_map(Entry::of)
        .filter(|entry| {
            entry.kind == "TABLE" && entry.name == "entries" && !RESERVED.contains(&entry.schema)
        })
        .map(|entry| entry.schema)
        .collect();
    let mut found = schemas.iter();
    match (found.next(), found.next()) {
        (Some(schema), None) => Ok(schema),
        (Some(_), Some(_)) => Err(format!(
            "it has tables of AgentFS in several schemas ({}): dump one of them alone, by `pg_dump -Fc -n SCHEMA`",
            schemas.into_iter().collect::<Vec<_>>().join(", ")
        )),
        (None, _) => Err("it holds no tables of AgentFS".to_owned()),
    }
}

fn is_ours(entry: &Entry<'_>, schema: &str) -> bool {
    if entry.kind == "EXTENSION" {
        return entry.name == "vector";
    }
    let is_ours = |table: &str| TABLES.contains(&table) || table == MIGRATIONS_TABLE;
    let is_wanted = entry.schema == schema && !is_unlogged(entry);
    is_wanted && (OF_ANY.contains(&entry.kind) || table(entry).is_some_and(is_ours))
}

fn is_unlogged(entry: &Entry<'_>) -> bool {
    entry.kind == "TABLE DATA" && entry.name == UNLOGGED
}

/// `2026-11-29 04:43:53 UTC`.
fn moment(text: &str) -> Option<Timestamp> {
    let (time, _) = text.rsplit_once(' ')?;
    let time = DateTime::strptime("%Y-%m-%d %H:%M:%S", time).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp())
}

/// The rows of the one table of a script, each as its columns with their texts.
pub(super) fn rows_of(sql: &str) -> Vec<Vec<(&str, &str)>> {
    let mut lines = sql.lines().skip_while(|line| !line.starts_with("COPY "));
    let head = lines.next().and_then(|head| head.split_once('(')?.1.split_once(')'));
    let columns: Vec<&str> =
        head.map_or_else(Vec::new, |(columns, _)| columns.split(", ").collect());
    let rows = lines.take_while(|line| *line != "\\.");
    rows.map(|row| columns.iter().copied().zip(row.split('\t')).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
;
; Archive created at 2026-11-29 04:43:53 UTC
;     dbname: agentfs
;     TOC Entries: 32
;     Compression: zstd
;     Dump Version: 1.16-0
;     Format: CUSTOM
;     Dumped from database version: 17.5 (Debian 17.5-1)
;     Dumped by pg_dump version: 18.6
;
7; 2615 16738 SCHEMA - agentfs_old postgres
2; 3079 16385 EXTENSION - vector 
2858; 0 0 COMMENT - EXTENSION vector 
354; 1255 16764 FUNCTION public f() postgres
225; 1259 16739 TABLE agentfs_old entries agentfs
221; 1259 16713 TABLE public entries agentfs
224; 1259 16731 TABLE public embedding_models agentfs
223; 1259 16730 SEQUENCE public embedding_models_id_seq agentfs
227; 1259 16754 TABLE public others agentfs
2859; 0 0 ACL public TABLE entries agentfs
2849; 0 16739 TABLE DATA agentfs_old entries agentfs
2845; 0 16713 TABLE DATA public entries agentfs
2851; 0 16754 TABLE DATA public others agentfs
2852; 0 16755 TABLE DATA public rate_limits agentfs
2860; 0 0 SEQUENCE SET public embedding_models_id_seq agentfs
2685; 2606 16720 CONSTRAINT public entries entries_pkey agentfs
2696; 2606 16759 CONSTRAINT public others others_pkey agentfs
2697; 2606 16760 FK CONSTRAINT public entries entries_tenant_id_fkey agentfs
2686; 1259 16737 INDEX public entries_tree agentfs
";

    #[test]
    fn what_is_ours_is_selected_and_the_rest_is_named() {
        let contents = Contents::of(LIST).unwrap();
        assert_eq!(contents.created_at.to_string(), "2026-11-29T04:43:53Z");
        assert_eq!((&*contents.postgres, &*contents.pg_dump), ("17.5 (Debian 17.5-1)", "18.6"));
        let tables: Vec<&str> = contents.tables.iter().map(String::as_str).collect();
        assert_eq!(tables, ["embedding_models", "entries"]);
        let ids: Vec<&str> =
            contents.selection.lines().filter_map(|line| Some(line.split_once(';')?.0)).collect();
        assert_eq!(ids, ["2", "221", "224", "223", "2845", "2860", "2685", "2697", "2686"]);
        let left_out: Vec<&str> = contents.left_out.iter().map(String::as_str).collect();
        assert_eq!(left_out, ["FUNCTION f()", "TABLE others", "the schema agentfs_old"]);
        assert!(
            contents.notes().last().unwrap().ends_with("TABLE others, the schema agentfs_old.")
        );
    }

    #[test]
    fn a_dump_that_cannot_be_meant_says_why() {
        for (from, to, why) in [
            ("Format: CUSTOM", "Format: TAR", "another format"),
            ("TABLE public entries", "TABLE public notes", "no tables of AgentFS"),
            ("TABLE agentfs_old entries", "TABLE blue entries", "several schemas (blue, public)"),
            ("Archive created at 2026", "Archive created at x", "of its time"),
        ] {
            let error = Contents::of(&LIST.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn rows_are_read_by_their_columns() {
        let sql = "SET a = 1;\nCOPY public.schema_version (singleton, version, min_compatible) FROM stdin;\nt\t14\t1\n\\.\n\n";
        assert_eq!(
            rows_of(sql),
            [vec![("singleton", "t"), ("version", "14"), ("min_compatible", "1")]]
        );
        assert_eq!(rows_of("SET a = 1;\n"), Vec::<Vec<(&str, &str)>>::new());
    }
}
