//! Builds the vector indexes (HNSW) of what was restored: they take far longer than all else, and searches are exact without them.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use super::ddl;
use super::error::RecoveryError;
use super::fetch::Fetched;
use super::programs::Programs;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::embeddings::index;

/// The models that have an index in a dump, which a load leaves out.
pub(super) async fn of_dump(
    programs: &Programs,
    fetched: &Fetched,
) -> Result<Vec<i32>, RecoveryError> {
    let selected = fetched.selected();
    let fixed = ["--file=-", "--section=post-data"].map(OsStr::new);
    let arguments: Vec<&OsStr> =
        fixed.into_iter().chain(selected.iter().map(OsString::as_os_str)).collect();
    let sql =
        programs.run("pg_restore", &[], &arguments).await.map_err(RecoveryError::of_whole_dump)?;
    let names = ddl::of_script(&sql).into_iter().filter_map(|statement| ddl::hnsw(&statement));
    let models: BTreeSet<i32> = names.filter_map(|name| index::model_of(&name)).collect();
    Ok(models.into_iter().collect())
}

/// Builds the indexes of those of the models that there are, by `jobs` processes and with `memory` as maintenance_work_mem or else
/// with what they need.
pub(super) async fn build(
    url: &DatabaseUrl,
    models: &[i32],
    memory: Option<&str>,
    jobs: usize,
) -> Result<(), RecoveryError> {
    if models.is_empty() {
        return Ok(());
    }
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    for model in index::models(&mut connection, models).await? {
        let needed = format!("{}MB", model.megabytes);
        let memory = memory.unwrap_or(&needed);
        index::build(&mut connection, model.id, model.dimensions, Some(memory), jobs).await?;
    }
    Ok(())
}

/// The names of those of the models that there are.
pub(super) async fn names(url: &DatabaseUrl, models: &[i32]) -> Result<Vec<String>, RecoveryError> {
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    let models = index::models(&mut connection, models).await?;
    Ok(models.into_iter().map(|model| model.name).collect())
}
