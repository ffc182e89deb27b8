//! What is in a dump, by its table of contents. That is not trusted: what it names is looked for by name, and is found or not.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use crate::recovery::error::RecoveryError;
use crate::recovery::programs::Programs;
use crate::store::in_place::{META, NEW, PREVIOUS};
use crate::store::schema::{MIGRATIONS_TABLE, TABLES};

/// Schemas of restores in place, which somebody's own dump may hold. What is in them is not live.
pub(in crate::recovery) const RESERVED: [&str; 3] = [NEW, PREVIOUS, META];

/// Entries that come with another one, or say nothing of what is in the dump.
const BESIDE: [&str; 23] = [
    "TABLE DATA",
    "MATERIALIZED VIEW DATA",
    "BLOBS",
    "SEQUENCE SET",
    "SEQUENCE OWNED BY",
    "CONSTRAINT",
    "FK CONSTRAINT",
    "CHECK CONSTRAINT",
    "DEFAULT",
    "INDEX",
    "INDEX ATTACH",
    "TABLE ATTACH",
    "COMMENT",
    "ACL",
    "SECURITY LABEL",
    "STATISTICS DATA",
    "ENCODING",
    "STDSTRINGS",
    "SEARCHPATH",
    "DATABASE",
    "DATABASE PROPERTIES",
    "ROW SECURITY",
    "BLOB METADATA",
];

/// What is in a dump.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::recovery) struct Contents {
    /// The schema of our tables.
    pub(in crate::recovery) schema: String,
    /// Our tables that it has rows of.
    pub(in crate::recovery) tables: BTreeSet<String>,
    /// What others have made, for people; none of it is restored.
    pub(in crate::recovery) others: Vec<String>,
}

impl Contents {
    /// Reads the table of contents of the dump at `path`.
    pub(in crate::recovery) async fn read(
        programs: &Programs,
        path: &Path,
    ) -> Result<Self, RecoveryError> {
        let arguments = [OsStr::new("--list"), path.as_os_str()];
        let list = programs.run("pg_restore", &[], &arguments).await;
        Self::of(&list.map_err(RecoveryError::of_dump)?)
    }

    fn of(list: &str) -> Result<Self, RecoveryError> {
        let entries: Vec<Entry> = list.lines().filter_map(Entry::of).collect();
        let is_ours = |name: &str| name == MIGRATIONS_TABLE || TABLES.contains(&name);
        let rows = || entries.iter().filter(|entry| entry.kind == "TABLE DATA");
        // All backups have this one.
        let schemas: BTreeSet<&str> = rows()
            .filter(|entry| entry.name == "entries" && !RESERVED.contains(&entry.schema))
            .map(|entry| entry.schema)
            .collect();
        let schema = match Vec::from_iter(schemas)[..] {
            [schema] => schema,
            [] => return Err(RecoveryError::Flawed("the dump has no rows of our tables".into())),
            [first, second, ..] => {
                return Err(RecoveryError::Flawed(format!(
                    "the dump has our tables in the schemas {first} and {second}: dump one of them alone, by pg_dump --schema"
                )));
            }
        };
        let ours = rows().filter(|entry| entry.schema == schema && is_ours(entry.name));
        let of_ours = |entry: &&Entry| match entry.kind {
            kind if BESIDE.contains(&kind) => true,
            "SCHEMA" => entry.name == schema || entry.name == "public",
            "EXTENSION" => entry.name == "vector",
            "TABLE" => entry.schema == schema && is_ours(entry.name),
            // Those of identity columns.
            "SEQUENCE" => {
                let of = entry.name.strip_suffix("_id_seq");
                entry.schema == schema && of.is_some_and(is_ours)
            }
            _ => false,
        };
        let is_reserved =
            |entry: &&Entry| RESERVED.contains(&entry.schema) || RESERVED.contains(&entry.name);
        let others = entries.iter().filter(|entry| !of_ours(entry) && !is_reserved(entry));
        Ok(Self {
            schema: schema.to_owned(),
            tables: ours.map(|entry| entry.name.to_owned()).collect(),
            others: others.map(Entry::for_people).collect(),
        })
    }
}

/// A line of a table of contents: `215; 1259 16391 TABLE DATA public entries agentfs`.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::recovery) struct Entry<'a> {
    /// What it is, in capitals.
    pub(in crate::recovery) kind: &'a str,
    /// Its schema; `-` for what is in none.
    pub(in crate::recovery) schema: &'a str,
    /// Its name, with the name of its table before it where it is of one.
    pub(in crate::recovery) name: &'a str,
}

impl<'a> Entry<'a> {
    pub(in crate::recovery) fn of(line: &'a str) -> Option<Self> {
        let (number, rest) = line.split_once("; ")?;
        number.parse::<u32>().ok()?;
        let rest = rest.splitn(3, ' ').nth(2)?;
        let is_kind = |word: &&str| word.bytes().all(|byte| byte.is_ascii_uppercase());
        let words = rest.split(' ').take_while(is_kind).map(|word| word.len() + 1);
        let (kind, rest) = rest.split_at_checked(words.sum())?;
        let (schema, name) = rest.split_once(' ')?;
        // The owner, which is the last word, may be empty.
        let name = name.rsplit_once(' ').map_or(name, |(name, _owner)| name);
        Some(Self { kind: kind.trim_end(), schema, name })
    }

    fn for_people(&self) -> String {
        let kind = self.kind.to_lowercase();
        match self.schema {
            "-" => format!("{kind} {}", self.name),
            schema => format!("{kind} {schema}.{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = ";\n; Archive created at 2026-11-29 04:00:00 UTC\n;     dbname: agentfs\n;\n\
        6; 2615 16400 SCHEMA - agentfs_old agentfs\n\
        2; 3079 16386 EXTENSION - vector \n\
        3; 3079 16387 EXTENSION - pg_trgm \n\
        300; 1255 16999 FUNCTION public spy(integer, text) postgres\n\
        222; 1259 16735 TABLE public api_keys agentfs\n\
        223; 1259 16736 TABLE public others my role\n\
        224; 1259 16737 SEQUENCE public embedding_jobs_id_seq agentfs\n\
        225; 1259 16738 SEQUENCE public others_id_seq agentfs\n\
        226; 1259 16739 VIEW reports usage agentfs\n\
        3401; 0 16735 TABLE DATA public api_keys agentfs\n\
        3402; 0 16740 TABLE DATA public entries agentfs\n\
        3403; 0 16741 TABLE DATA agentfs_old entries agentfs\n\
        3404; 0 16736 TABLE DATA public others agentfs\n\
        3405; 0 16737 SEQUENCE SET public embedding_jobs_id_seq agentfs\n\
        2742; 1259 16933 INDEX public embeddings_hnsw_1 agentfs\n\
        2743; 2606 16934 CONSTRAINT public api_keys api_keys_pkey agentfs\n\
        2744; 2620 16935 TRIGGER public entries spy agentfs\n";

    #[test]
    fn our_tables_are_told_from_what_others_made() {
        let contents = Contents::of(LIST).unwrap();
        assert_eq!(contents.schema, "public");
        assert_eq!(contents.tables, ["api_keys", "entries"].map(str::to_owned).into());
        let others = [
            "extension pg_trgm",
            "function public.spy(integer, text)",
            // A name with a space cannot be told from the owner.
            "table public.others my",
            "sequence public.others_id_seq",
            "view reports.usage",
            "trigger public.entries spy",
        ];
        assert_eq!(contents.others, others);
    }

    #[test]
    fn a_dump_has_our_tables_once() {
        let said = |list: &str| Contents::of(list).unwrap_err().to_string();
        assert!(said("; nothing\n").contains("no rows of our tables"));
        let twice = format!("{LIST}3406; 0 17000 TABLE DATA copy entries agentfs\n");
        assert!(said(&twice).contains("copy and public"), "{}", said(&twice));
    }
}
