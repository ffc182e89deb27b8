//! Loads tables and builds their indexes and keys, by several connections at once.

use std::cmp::Reverse;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};

use super::pace::Pace;
use super::told::{Told, weight, weights};
use super::{Loading, Tables};
use crate::recovery::error::RecoveryError;
use crate::store::StoreError;
use crate::store::in_place::indexes::{self, Build};
use crate::store::in_place::rows::{self as tables, Target};

/// What a connection has done.
enum Done<'a> {
    Loaded(&'a Target),
    Built(&'a Build),
}

type Running<'a> = FuturesUnordered<BoxFuture<'a, Result<Done<'a>, RecoveryError>>>;

/// Indexes whose building began while rows were loaded.
pub(in crate::recovery) struct Begun<'a> {
    /// All of them.
    all: Vec<&'a Build>,
    /// Those that are built.
    built: Vec<&'a Build>,
    running: Running<'a>,
}

impl Tables {
    /// The indexes of a table that may take long.
    fn take_long<'a>(&'a self, of: &'a Target) -> impl Iterator<Item = &'a Build> {
        let is_its = |build: &&Build| build.table == of.name && build.takes_long();
        self.taken_off.indexes.iter().filter(is_its)
    }
}

impl Loading<'_> {
    /// Loads all rows. An index that takes long begins as soon as its table is loaded: PostgreSQL before 18 builds it in one process,
    /// and others load meanwhile.
    pub(in crate::recovery) async fn load<'a>(
        &'a self,
        tables: &'a Tables,
    ) -> Result<Begun<'a>, RecoveryError> {
        let weights = weights(&self.manifest.tables);
        let mut targets: Vec<&Target> = tables.targets.iter().collect();
        targets.sort_by_key(|target| tables.take_long(target).next().is_none());
        let total = targets.iter().map(|target| weight(&weights, &target.name)).sum();
        let told = Arc::new(Told::of(self.progress, "load", total));
        let pace = Arc::new(Pace::of(self.options.max_rate));

        let mut begun = Begun { all: Vec::new(), built: Vec::new(), running: Running::new() };
        let mut waiting = targets.iter();
        let mut unloaded = targets.len();
        while unloaded > 0 {
            let free = self.jobs().saturating_sub(begun.running.len());
            for target in waiting.by_ref().take(free) {
                begun.running.push(self.load_table(target, told.clone(), pace.clone()));
            }
            let Some(done) = begun.running.next().await else { break };
            match done? {
                Done::Loaded(target) => {
                    unloaded -= 1;
                    begun.all.extend(tables.take_long(target));
                    let long = tables.take_long(target).map(|build| self.build_one(build));
                    begun.running.extend(long);
                }
                Done::Built(build) => begun.built.push(build),
            }
        }
        Ok(begun)
    }

    /// Builds all other indexes, then keys and references, which need them. Sequences go on behind what was loaded.
    pub(in crate::recovery) async fn build<'a>(
        &'a self,
        tables: &'a Tables,
        begun: Begun<'a>,
    ) -> Result<(), RecoveryError> {
        let weights = weights(&self.manifest.tables);
        let weight = |build: &Build| weight(&weights, &build.table);
        let rounds = tables.taken_off.rounds();
        let Begun { all, built, mut running } = begun;
        let left = rounds.iter().flat_map(|round| *round).filter(|build| !built.contains(build));
        let told = Told::of(self.progress, "build", left.map(weight).sum());
        for round in rounds {
            let mut waiting: Vec<&Build> =
                round.iter().filter(|build| !all.contains(build)).collect();
            // What takes longest begins first, so that all end at about the same time.
            waiting.sort_by_key(|build| Reverse(weight(build)));
            let mut waiting = waiting.into_iter();
            loop {
                let free = self.jobs().saturating_sub(running.len());
                running.extend(waiting.by_ref().take(free).map(|build| self.build_one(build)));
                let Some(done) = running.next().await else { break };
                if let Done::Built(build) = done? {
                    told.add(&build.name, weight(build));
                }
            }
        }
        let mut connection = tables::connect(self.address).await?;
        Ok(tables::continue_sequences(&mut connection, self.schema).await?)
    }

    /// Most connections at once.
    fn jobs(&self) -> usize {
        self.options.jobs.max(1)
    }

    fn load_table<'a>(
        &'a self,
        target: &'a Target,
        told: Arc<Told<'a>>,
        pace: Arc<Pace>,
    ) -> BoxFuture<'a, Result<Done<'a>, RecoveryError>> {
        let loading = async move {
            let loaded = self.load_rows(target, &told, &pace).await;
            let what = format!("the rows of {}", target.name);
            loaded.map(|()| Done::Loaded(target)).map_err(|error| error.of_loading(&what))
        };
        Box::pin(loading)
    }

    fn build_one<'a>(&'a self, build: &'a Build) -> BoxFuture<'a, Result<Done<'a>, RecoveryError>> {
        let building = async move {
            let done = async {
                let mut connection = tables::connect(self.address).await?;
                indexes::build(&mut connection, build).await
            };
            let what = format!("{} of {}", build.name, build.table);
            let done = done.await.map(|()| Done::Built(build));
            done.map_err(|error: StoreError| RecoveryError::from(error).of_loading(&what))
        };
        Box::pin(building)
    }
}
