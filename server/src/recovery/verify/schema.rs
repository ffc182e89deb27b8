//! Compares a restored schema with the one that this program's migrations make of that version.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use agentfs_contract::manifest::{Manifest, Scope};

use crate::recovery::ddl::{self, Schema, Statement};
use crate::recovery::error::RecoveryError;
use crate::recovery::programs::{Programs, environment};
use crate::recovery::scratch::Scratch;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::fingerprint;
use crate::store::schema::migrate_to;

/// Most statements that are named.
const MAX_NAMED: usize = 5;

/// Fails where the schema in `restored` lacks something, or has more than it should. An index more is no fault: what is returned names
/// those.
pub(super) async fn compare(
    programs: &Programs,
    scratch: &mut Scratch,
    restored: &DatabaseUrl,
    schema: &Schema,
    manifest: &Manifest,
) -> Result<Vec<String>, RecoveryError> {
    let ours = scratch.database(schema).await?;
    migrate_to(&DatabaseAddress::of(&ours), manifest.schema_version).await?;
    let tables: Vec<String> = match manifest.scope {
        // All that there are, whether the dump has them or not.
        Scope::Full => {
            let mut connection = DatabaseAddress::of(&ours).connect_unlimited().await?;
            let tables = fingerprint::tables(&mut connection, None).await?;
            tables.into_iter().map(|table| table.quoted).collect()
        }
        Scope::Entries => schema.tables.iter().map(|table| quoted(&schema.name, table)).collect(),
    };
    let (wanted, found) = (
        statements(programs, &ours, &tables).await?,
        statements(programs, restored, &tables).await?,
    );
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

fn quoted(schema: &str, table: &str) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    format!("{}.{}", quoted(schema), quoted(table))
}

/// The schema of the tables in a database, but for vector indexes, which come and go with models.
async fn statements(
    programs: &Programs,
    url: &DatabaseUrl,
    tables: &[String],
) -> Result<BTreeSet<Statement>, RecoveryError> {
    let fixed = ["--schema-only", "--no-owner", "--no-acl", "--no-comments", "--no-tablespaces"];
    let mut arguments: Vec<OsString> = fixed.map(OsString::from).into();
    arguments.push("--no-password".into());
    arguments.extend(tables.iter().map(|table| format!("--table={table}").into()));
    let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
    let sql = programs.run("pg_dump", &environment(url.hosts()[0].text()), &arguments).await?;
    let statements = ddl::of_script(&sql).into_iter();
    Ok(statements.filter(|statement| ddl::hnsw(statement).is_none()).collect())
}
