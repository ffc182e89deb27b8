//! Loads a backup into the staging schema, beside the live tables.

use agentfs_contract::manifest::Manifest;

use crate::recovery::compare::compare;
use crate::recovery::error::RecoveryError;
use crate::recovery::fault_point::{FaultPoint, reach};
use crate::recovery::fetch::Fetched;
use crate::recovery::loading::{Contents, LoadOptions, Loading};
use crate::recovery::programs::Programs;
use crate::recovery::progress::Progress;
use crate::recovery::steps::Steps;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::databases::analyse;
use crate::store::in_place::NEW;
use crate::store::in_place::autovacuum::keep_off_staged;
use crate::store::in_place::rows::{self, Company};
use crate::store::schema::{SCHEMA_VERSION, migrate_within};

/// Fills the empty schema of `url` (see [`crate::store::in_place::staging::url`]) with a backup, compares it with the manifest,
/// migrates it to the live schema's version, which is this program's, and gathers statistics. Vector indexes are left out. Nothing
/// of the dump is executed.
///
/// Dropped before its end, it ends its programs and sessions. What is in the schema is for the caller to drop.
pub(super) async fn stage(
    programs: &Programs,
    fetched: &Fetched,
    manifest: &Manifest,
    url: &DatabaseUrl,
    options: LoadOptions,
    progress: Progress<'_>,
    steps: &mut Steps,
) -> Result<(), RecoveryError> {
    let address = &DatabaseAddress::of(url);
    let contents = &Contents::read(programs, fetched.path()).await?;
    let path = fetched.path();
    let loading =
        Loading { programs, path, contents, manifest, address, schema: NEW, options, progress };
    let making = async {
        let tables = loading.make_tables().await?;
        keep_off_staged(&mut address.connect_unlimited().await?).await?;
        Ok::<_, RecoveryError>(tables)
    };
    let tables = steps.time("tables", making).await?;
    reach(FaultPoint::StagingTablesMade);
    let begun = steps.time("load", loading.load(&tables)).await?;
    reach(FaultPoint::Loaded);
    steps.time("build", loading.build(&tables, begun)).await?;
    reach(FaultPoint::StagingIndexed);
    steps.time("compare", compare(manifest, address, Company::Agents)).await?;
    reach(FaultPoint::Compared);
    let migrating = async {
        // Its commits wait for the disk, and so for all that was written before them.
        let mut connection = rows::connect_patiently(address).await?;
        migrate_within(&mut connection, NEW, SCHEMA_VERSION).await?;
        keep_off_staged(&mut connection).await?;
        rows::forget_counts(&mut connection).await?;
        Ok::<_, RecoveryError>(())
    };
    steps.time("migrate", migrating).await?;
    reach(FaultPoint::Migrated);
    steps.time("analyse", analyse(url)).await?;
    Ok(())
}

/// Stages a backup into the schema `agentfs_new`, which is empty, of the database of `url`. Returns what was left out. For tests,
/// which see this step of a restore by itself.
#[cfg(feature = "dev")]
pub async fn stage_backup(
    url: &DatabaseUrl,
    location: &crate::recovery::Location,
    backup: &crate::recovery::catalogue::Selector,
    pg_bin: Option<&std::path::Path>,
    options: LoadOptions,
    progress: Progress<'_>,
) -> Result<Vec<String>, RecoveryError> {
    use crate::recovery::catalogue::Catalogue;
    use crate::recovery::fetch::fetch;
    use crate::recovery::storage::Storage;
    use crate::store::databases::Server;
    use crate::store::in_place::staging;

    let storage = Storage::open(location).await?;
    let catalogue = Catalogue::read(&storage).await?;
    let backup = catalogue.select(backup, None)?;
    let manifest = &backup.manifest;
    let fetched = fetch(&storage, backup, None, &std::env::temp_dir()).await?;
    let server = Server::connect(url).await?.major;
    let archive = manifest.pg_restore_major().unwrap_or(server);
    let programs = Programs::find_for_archive(pg_bin, archive, server).await?;
    let steps = &mut Steps::default();
    let url = staging::url(url);
    stage(&programs, &fetched, manifest, &url, options, progress, steps).await?;
    Ok(Contents::read(&programs, fetched.path()).await?.others)
}
