//! Loads a backup without executing anything of it: our own migrations make the tables, and of the dump only rows are taken.

mod binary;
mod contents;
mod pace;
mod parallel;
mod rows;
mod told;

use std::cmp::Reverse;
use std::path::Path;
use std::thread::available_parallelism;

use agentfs_contract::manifest::Manifest;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};

use self::binary::Conversion;
pub(super) use self::contents::{Contents, Entry, RESERVED};
use self::pace::Pace;
use self::rows::Rows;
use self::told::{Share, Told, weight, weights};
use super::compare::compare;
use super::error::RecoveryError;
use super::fault_point::{FaultPoint, reach};
use super::programs::Programs;
use super::progress::{self, Progress};
use super::restore::in_place::InPlaceError;
use super::steps::Steps;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::in_place::holder::Holder;
use crate::store::in_place::indexes::{self, TakenOff};
use crate::store::in_place::rows::{self as tables, Column, Company, CopyData, Target};
use crate::store::schema::migrate_within;

/// Most connections that load at once by themselves: one loads a table, and the greatest holds most of the bytes.
const MOST_JOBS: usize = 8;

/// The table and the column that hold the version of a dump's schema.
const VERSION: (&str, &str) = ("schema_version", "version");

/// Connections that load at once where nobody says how many.
fn default_jobs() -> usize {
    available_parallelism().map_or(1, usize::from).clamp(2, MOST_JOBS)
}

/// How fast a backup is loaded.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// Connections that load and build indexes at once.
    pub jobs: usize,
    /// Most bytes of rows a second, of all connections together and as the dump has them; as many as go where it is not given.
    pub max_rate: Option<u64>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { jobs: default_jobs(), max_rate: None }
    }
}

/// Loads a backup into an empty database that nobody serves from, and compares it with the manifest.
pub(super) async fn load_alone(
    programs: &Programs,
    path: &Path,
    manifest: &Manifest,
    url: &DatabaseUrl,
    options: LoadOptions,
    steps: &mut Steps,
) -> Result<(), RecoveryError> {
    let address = &DatabaseAddress::of(url);
    let schema = tables::schema(&mut tables::connect(address).await?).await?;
    let loading = Loading {
        programs,
        path,
        contents: &Contents::read(programs, path).await?,
        manifest,
        address,
        schema: schema.as_deref().unwrap_or("public"),
        options,
        progress: &progress::update,
    };
    let load = async {
        let tables = loading.make_tables().await?;
        let begun = loading.load(&tables).await?;
        loading.build(&tables, begun).await
    };
    steps.time("load", Box::pin(load)).await?;
    reach(FaultPoint::Loaded);
    steps.time("compare", compare(manifest, address, Company::Alone)).await
}

/// A backup that is loaded.
pub(super) struct Loading<'a> {
    /// PostgreSQL's programs.
    pub(super) programs: &'a Programs,
    /// The dump.
    pub(super) path: &'a Path,
    /// What is in it.
    pub(super) contents: &'a Contents,
    /// What should be in it. Where it names no table, all that the dump has is loaded.
    pub(super) manifest: &'a Manifest,
    /// The database.
    pub(super) address: &'a DatabaseAddress,
    /// The schema to load into, which sessions of `address` search first.
    pub(super) schema: &'a str,
    /// How fast.
    pub(super) options: LoadOptions,
    /// Told on the way.
    pub(super) progress: Progress<'a>,
}

/// Tables without rows, and what was taken off them.
pub(super) struct Tables {
    targets: Vec<Target>,
    taken_off: TakenOff,
}

impl Loading<'_> {
    /// Makes the tables of the manifest's schema version, without indexes and keys. The schema is empty.
    pub(super) async fn make_tables(&self) -> Result<Tables, RecoveryError> {
        self.check_version().await?;
        let mut connection = tables::connect(self.address).await?;
        migrate_within(&mut connection, self.schema, self.manifest.schema_version).await?;
        let targets = tables::targets(&mut connection, self.schema).await?;
        let targets = self.wanted(targets)?;
        let taken_off = indexes::take_off(&mut connection, self.schema).await?;
        Ok(Tables { targets, taken_off })
    }

    /// Fails where the dump is of another schema version than the manifest says: it would fit no table.
    async fn check_version(&self) -> Result<(), RecoveryError> {
        if !self.contents.tables.contains(VERSION.0) {
            return Ok(());
        }
        let claimed = self.manifest.schema_version;
        let found = rows::field(self.programs, self.path, &self.contents.schema, VERSION);
        match found.await.map_err(|error| error.of_loading("the rows of schema_version"))? {
            Some(found) if found != claimed.to_string() => Err(RecoveryError::Flawed(format!(
                "the schema is version {found}, the manifest says {claimed}"
            ))),
            _ => Ok(()),
        }
    }

    /// Those of the tables that rows are loaded into, the greatest first. None of the manifest may be missing: what looks for it
    /// would find the live one.
    fn wanted(&self, made: Vec<Target>) -> Result<Vec<Target>, RecoveryError> {
        let Self { contents, manifest, .. } = self;
        for name in manifest.tables.keys().chain(&contents.tables) {
            if !made.iter().any(|target| target.name == *name) {
                let version = manifest.schema_version;
                return Err(RecoveryError::Flawed(format!(
                    "{name}: schema version {version} has no such table"
                )));
            }
        }
        if let Some(name) = manifest.tables.keys().find(|name| !contents.tables.contains(*name)) {
            return Err(RecoveryError::Flawed(format!("{name}: the dump has no rows of it")));
        }
        let names_all = manifest.format > 1 && !manifest.tables.is_empty();
        let is_wanted = |target: &Target| {
            target.is_logged
                && contents.tables.contains(&target.name)
                && !manifest.left_out.contains(&target.name)
        };
        let mut wanted: Vec<Target> = made.into_iter().filter(is_wanted).collect();
        let unknown = |target: &&Target| names_all && !manifest.tables.contains_key(&target.name);
        if let Some(Target { name, .. }) = wanted.iter().find(unknown) {
            return Err(RecoveryError::Flawed(format!(
                "{name}: the dump has rows of it, the manifest says nothing of it"
            )));
        }
        let weights = weights(&manifest.tables);
        wanted.sort_by_key(|target| Reverse(weight(&weights, &target.name)));
        Ok(wanted)
    }

    /// Loads all rows into `made`, one table after the other, within the transaction of a session: those that others refer to come
    /// first in it. Where it fails, the session is of no use any more.
    pub(super) async fn load_within(
        &self,
        holder: &mut Holder,
        made: Vec<Target>,
    ) -> Result<(), RecoveryError> {
        self.check_version().await?;
        let mut wanted = self.wanted(made.clone())?;
        let order = |target: &Target| made.iter().position(|made| made.name == target.name);
        wanted.sort_by_key(order);
        let weights = weights(&self.manifest.tables);
        let total = wanted.iter().map(|target| weight(&weights, &target.name)).sum();
        let told = Told::of(self.progress, "load", total);
        let pace = Pace::of(self.options.max_rate);
        for target in &wanted {
            let loading = async {
                let (columns, rows) = self.rows(target, &told, &pace).await?;
                tables::copy(holder.connection(), target, &columns, rows).await
            };
            let what = format!("the rows of {}", target.name);
            Box::pin(loading).await.map_err(|error| error.of_loading(&what))?;
        }
        Ok(())
    }

    async fn load_rows(
        &self,
        target: &Target,
        told: &Told<'_>,
        pace: &Pace,
    ) -> Result<(), RecoveryError> {
        let (columns, rows) = self.rows(target, told, pace).await?;
        let mut connection = tables::connect(self.address).await?;
        if tables::load(&mut connection, target, &columns, rows).await? {
            Ok(())
        } else {
            Err(InPlaceError::NotHolder.into())
        }
    }

    /// The rows of a table, with the columns of their fields.
    async fn rows<'a>(
        &'a self,
        target: &'a Target,
        told: &'a Told<'_>,
        pace: &'a Pace,
    ) -> Result<
        (Vec<String>, impl Stream<Item = Result<CopyData, RecoveryError>> + 'a),
        RecoveryError,
    > {
        let name = &target.name;
        let rows = Rows::begin(self.programs, self.path, &self.contents.schema, name).await?;
        let columns = rows.columns.clone();
        check_columns(&columns, &target.columns)?;
        let mut share = Share::of(self.manifest.tables.get(name));
        let pieces = rows.into_pieces().map_ok(move |piece| {
            told.add(name, share.rows(piece.rows));
            stream::iter(pace.portions(piece.bytes)).map(Ok::<_, RecoveryError>)
        });
        let pieces = pieces.try_flatten().and_then(move |portion| async move {
            pace.wait(portion.len()).await;
            Ok(portion)
        });
        let mut conversion = self.conversion(target, &columns);
        let rows = pieces
            .map_ok(move |text| stream::iter(conversion.convert(text)).map(Ok::<_, RecoveryError>));
        Ok((columns, rows.try_flatten()))
    }

    /// What becomes of rows with these `columns` of a table. They are converted only where a wrong conversion would be noticed: the
    /// fingerprint in the manifest is of the rows that were dumped.
    fn conversion(&self, target: &Target, columns: &[String]) -> Conversion {
        let table = self.manifest.tables.get(&target.name);
        if table.is_none_or(|table| table.fingerprint.is_none()) {
            return Conversion::none();
        }
        let column = |name: &String| target.columns.iter().find(|column| column.name == *name);
        Conversion::of(columns.iter().filter_map(column).map(|column| &*column.type_name))
    }
}

/// Fails where the dump has other columns than the table.
fn check_columns(found: &[String], wanted: &[Column]) -> Result<(), RecoveryError> {
    let is_wanted = |name: &&String| wanted.iter().any(|column| column.name == **name);
    if let Some(more) = found.iter().find(|name| !is_wanted(name)) {
        return Err(RecoveryError::Flawed(format!(
            "the dump has a column {more}, which is not of this schema version"
        )));
    }
    match wanted.iter().find(|column| !found.contains(&column.name)) {
        Some(Column { name, .. }) => {
            Err(RecoveryError::Flawed(format!("the dump has no column {name}")))
        }
        None => Ok(()),
    }
}
