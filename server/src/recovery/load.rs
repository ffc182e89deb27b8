//! Loads a dump into an empty database by `pg_restore`, all but the vector indexes (HNSW): they take ten times as long as all else,
//! and searches are exact without them.

use std::collections::BTreeSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;
use std::thread::available_parallelism;

use super::ddl;
use super::error::RecoveryError;
use super::fetch::Fetched;
use super::programs::{Programs, environment};
use super::steps::Steps;
use super::unnamed::Unnamed;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::restored;

/// Most connections that load at once: one loads a table, and the greatest holds most of the bytes.
const MOST_JOBS: usize = 8;
/// What the sessions are set to: a database that is not whole yet has no commit that must survive a crash.
const SESSION: &str = "-c synchronous_commit=off -c statement_timeout=0 -c lock_timeout=0";

/// How a dump is loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct LoadOptions {
    /// Connections that load at once.
    pub(super) jobs: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self { jobs: processors.clamp(2, MOST_JOBS) }
    }
}

/// Which sections of a dump are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    /// All.
    All,
    /// The rows of a backup of the entries alone, whose tables are there already.
    Entries,
}

/// The tables of a backup of the entries alone, those first that others refer to.
const ENTRIES: [&[&str]; 2] = [&["tenants"], &["api_keys", "entries", "entry_versions"]];

/// Loads a dump that was looked through into the database of `url`, whose server has this major version.
pub(super) async fn load(
    programs: &Programs,
    fetched: &Fetched,
    url: &DatabaseUrl,
    options: LoadOptions,
    steps: &mut Steps,
) -> Result<(), RecoveryError> {
    steps.time("load", load_parts(programs, fetched, url, options, Parts::All)).await
}

/// The same for some of its parts.
pub(super) async fn load_parts(
    programs: &Programs,
    fetched: &Fetched,
    url: &DatabaseUrl,
    options: LoadOptions,
    parts: Parts,
) -> Result<(), RecoveryError> {
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    let major = restored::major(&mut connection).await?;
    let has_extension = restored::has_extension(&mut connection).await?;
    drop(connection);
    let list = Unnamed::new(&env::temp_dir())?;
    let entries = printed(programs, &["--list"], fetched.path()).await?;
    let indexes = printed(programs, &["--file=-", "--section=post-data"], fetched.path()).await?;
    let skipped = ddl::of_script(&indexes).iter().filter_map(ddl::hnsw).collect();
    let wanted = wanted(&entries, &skipped, has_extension);
    list.file().write_all(wanted.as_bytes()).map_err(RecoveryError::WorkFolder)?;

    let variables = variables(url);
    let fixed = arguments(url, options.jobs, &list.path());
    let runs: Vec<Vec<OsString>> = match parts {
        Parts::All => vec![fixed],
        Parts::Entries => {
            let of_tables = |tables: &&[&str]| {
                let tables = tables.iter().map(|table| format!("--table={table}").into());
                let rows = std::iter::once("--section=data".into()).chain(tables);
                rows.chain(fixed.iter().cloned()).collect()
            };
            ENTRIES.iter().map(of_tables).collect()
        }
    };
    for run in &runs {
        let mut run: Vec<&OsStr> = run.iter().map(OsString::as_os_str).collect();
        run.push(fetched.path().as_os_str());
        programs.restore(major, &variables, &run).await.map_err(RecoveryError::of_whole_dump)?;
    }
    Ok(())
}

fn arguments(url: &DatabaseUrl, jobs: usize, list: &Path) -> Vec<OsString> {
    // Quoted, since a name may look like a connection string. All else is in the environment.
    let name = url.database().replace('\\', "\\\\").replace('\'', "\\'");
    let mut use_list = OsString::from("--use-list=");
    use_list.push(list);
    let fixed = [
        "--no-password",
        "--no-owner",
        "--no-acl",
        "--no-comments",
        "--no-tablespaces",
        "--no-security-labels",
        "--no-publications",
        "--no-subscriptions",
    ];
    let mut arguments: Vec<OsString> = fixed.map(OsString::from).into();
    arguments.push(format!("--dbname=dbname='{name}'").into());
    arguments.push(format!("--jobs={jobs}").into());
    arguments.push(use_list);
    arguments
}

/// The environment of the database, with what the sessions are set to beside what the URL says.
fn variables(url: &DatabaseUrl) -> Vec<(&'static str, String)> {
    let mut variables = environment(url.hosts()[0].text());
    match variables.iter_mut().find(|(name, _)| *name == "PGOPTIONS") {
        Some((_, options)) => *options = format!("{options} {SESSION}"),
        None => variables.push(("PGOPTIONS", SESSION.to_owned())),
    }
    variables
}

/// What `pg_restore` prints of a dump.
async fn printed(
    programs: &Programs,
    options: &[&str],
    path: &Path,
) -> Result<String, RecoveryError> {
    let options = options.iter().map(OsStr::new);
    let arguments: Vec<&OsStr> = options.chain([path.as_os_str()]).collect();
    programs.run("pg_restore", &[], &arguments).await.map_err(RecoveryError::of_whole_dump)
}

/// The table of contents without vector indexes, and without the extension where the database has it.
fn wanted(list: &str, skipped: &BTreeSet<String>, has_extension: bool) -> String {
    let is_wanted = |line: &&str| {
        // 3412; 1259 16700 INDEX public embeddings_hnsw_1 agentfs
        let mut words = line.split(' ').skip(3);
        match (words.next(), words.next(), words.next()) {
            (Some("INDEX"), Some(_), Some(name)) => !skipped.contains(name),
            (Some("EXTENSION"), ..) => !has_extension,
            _ => true,
        }
    };
    list.lines().filter(is_wanted).flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_indexes_and_an_extension_that_is_there_are_left_out() {
        let list = "; Archive\n2; 3079 16386 EXTENSION - vector \n\
                    222; 1259 16735 TABLE public api_keys agentfs\n2742; 1259 16933 INDEX public embeddings_hnsw_1 agentfs\n\
                    2726; 1259 16769 INDEX public entries_tree agentfs\n";
        let skipped = ["embeddings_hnsw_1".to_owned()].into();
        let without = wanted(list, &skipped, true);
        assert!(!without.contains("EXTENSION") && !without.contains("hnsw"), "{without}");
        assert!(without.contains("TABLE public api_keys") && without.contains("entries_tree"));
        assert_eq!(wanted(list, &BTreeSet::new(), false), list);
    }

    #[test]
    fn a_database_is_named_whatever_its_name_is() {
        let url =
            DatabaseUrl::parse(&"postgres://a@h/it%27s?options=-c%20jit%3Doff".to_owned().into());
        let url = url.unwrap();
        let arguments = arguments(&url, 2, Path::new("/list"));
        assert!(arguments.contains(&"--dbname=dbname='it\\'s'".into()), "{arguments:?}");
        let options = variables(&url).into_iter().find(|(name, _)| *name == "PGOPTIONS").unwrap();
        assert_eq!(options.1, format!("-c jit=off {SESSION}"));
    }
}
