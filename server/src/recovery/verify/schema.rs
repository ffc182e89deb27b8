//! Compares the schema in a dump with the one that this program's migrations make of that version. Nothing of the dump is executed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use agentfs_contract::manifest::{Manifest, Scope};

use crate::recovery::ddl::{self, Schema, Statement};
use crate::recovery::error::RecoveryError;
use crate::recovery::fetch::Fetched;
use crate::recovery::programs::{Programs, environment};
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::fingerprint;
use crate::store::names::qualified;

/// Most statements that are named.
const MAX_NAMED: usize = 5;

/// Fails where the schema in the dump lacks something, or has more than it should. An index more is no fault: what is returned names
/// those. `made` is a database that our migrations have made of the manifest's version.
pub(super) async fn compare(
    programs: &Programs,
    fetched: &Fetched,
    made: &DatabaseUrl,
    schema: &Schema,
    manifest: &Manifest,
) -> Result<Vec<String>, RecoveryError> {
    let tables: Vec<String> = match manifest.scope {
        // All that there are, whether the dump has them or not.
        Scope::Full => {
            let mut connection = DatabaseAddress::of(made).connect_unlimited().await?;
            let tables = fingerprint::tables(&mut connection, None).await?;
            tables.into_iter().map(|table| table.quoted).collect()
        }
        Scope::Entries => {
            schema.tables.iter().map(|table| qualified(&schema.name, table)).collect()
        }
    };
    let wanted = made_by_us(programs, made, &tables).await?;
    let found = in_dump(programs, fetched).await?;
    let missing = named(wanted.difference(&found));
    let (indexes, more): (Vec<&Statement>, Vec<_>) =
        found.difference(&wanted).partition(|statement| ddl::is_index(statement));
    let mut flaws = Vec::new();
    if !missing.is_empty() {
        flaws.push(format!("it lacks {missing}"));
    }
    if !more.is_empty() {
        flaws.push(format!("it has {}", named(more)));
    }
    if !flaws.is_empty() {
        return Err(RecoveryError::Flawed(format!(
            "the schema is not that of version {}: {}",
            manifest.schema_version,
            flaws.join("; ")
        )));
    }
    Ok(indexes.into_iter().map(ddl::name_of).collect())
}

fn named<'a>(statements: impl IntoIterator<Item = &'a Statement>) -> String {
    let mut names: Vec<String> = statements.into_iter().map(ddl::name_of).collect();
    if names.len() > MAX_NAMED {
        let more = names.len() - MAX_NAMED;
        names.truncate(MAX_NAMED);
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// How PostgreSQL's programs print a schema without what differs from database to database.
const FIXED: [&str; 5] =
    ["--no-owner", "--no-acl", "--no-comments", "--no-tablespaces", "--no-security-labels"];

/// The schema of tables that our migrations have made.
async fn made_by_us(
    programs: &Programs,
    url: &DatabaseUrl,
    tables: &[String],
) -> Result<BTreeSet<Statement>, RecoveryError> {
    let mut arguments: Vec<OsString> = FIXED.map(OsString::from).into();
    arguments.extend(["--schema-only", "--no-password"].map(OsString::from));
    arguments.extend(tables.iter().map(|table| format!("--table={table}").into()));
    let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
    let sql = programs.run("pg_dump", &environment(url.hosts()[0].text()), &arguments).await?;
    Ok(of_tables(&sql))
}

/// The schema in a dump.
async fn in_dump(
    programs: &Programs,
    fetched: &Fetched,
) -> Result<BTreeSet<Statement>, RecoveryError> {
    let sections = ["--file=-", "--section=pre-data", "--section=post-data"];
    let arguments = FIXED.iter().chain(&sections).map(OsStr::new);
    let arguments: Vec<&OsStr> = arguments.chain([fetched.path().as_os_str()]).collect();
    let sql = programs.run("pg_restore", &[], &arguments).await;
    Ok(of_tables(&sql.map_err(RecoveryError::of_whole_dump)?))
}

/// What a script makes of tables, but for vector indexes, which come and go with models.
fn of_tables(sql: &str) -> BTreeSet<Statement> {
    let statements = ddl::of_script(sql).into_iter();
    let is_wanted =
        |statement: &Statement| ddl::is_of_table(statement) && ddl::hnsw(statement).is_none();
    statements.filter(is_wanted).collect()
}
