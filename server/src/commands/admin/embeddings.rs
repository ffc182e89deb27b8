//! `agentfs-server admin embeddings`: shows the models and their progress, builds indexes, switches models.

use std::fmt;

use serde::Serialize;
use sqlx::postgres::PgConnection;

use super::output::Table;
use super::{AdminError, open};
use crate::store::connection::address::DatabaseAddress;
use crate::store::embeddings::index::{self, IndexState};
use crate::store::embeddings::model_change::{self, Progress, progress};
use crate::store::embeddings::models::ModelState;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum EmbeddingsCommand {
    /// Show all models, how many entries have their embeddings, and how many wait
    Status,
    /// Build the index of a model's vectors, for agents of more than 10,000 entries; searches and writes go on
    Index(Index),
    /// Have searches use a model that workers have filled; the one they use now is retired
    Switch(Switch),
    /// Remove a model that searches do not use, with its embeddings and its index
    Drop(Drop),
}

/// Which index is to be built.
#[derive(Debug, clap::Args)]
pub(crate) struct Index {
    /// The model's name, as `status` shows it
    #[arg(value_name = "MODEL")]
    model: String,
    /// Memory that the build may take of the database's machine, such as 1GB; without it, its maintenance_work_mem
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
}

/// Which model is to serve.
#[derive(Debug, clap::Args)]
pub(crate) struct Switch {
    /// The model's name, as `status` shows it
    #[arg(value_name = "MODEL")]
    model: String,
    /// Even though entries wait for its embeddings: meanwhile they are found by their words
    #[arg(long)]
    force: bool,
}

/// Which model is to go.
#[derive(Debug, clap::Args)]
pub(crate) struct Drop {
    /// The model's name, as `status` shows it
    #[arg(value_name = "MODEL")]
    model: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Status {
    models: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    dimensions: i32,
    state: ModelState,
    /// Live searchable entries.
    entries: i64,
    embedded: i64,
    waiting: i64,
    failed: i64,
    not_queued: i64,
    index: IndexState,
}

impl From<Progress> for Row {
    fn from(model: Progress) -> Self {
        Self {
            entries: model.embedded + model.waiting + model.failed + model.missing,
            name: model.name,
            dimensions: model.dimensions,
            state: model.state,
            embedded: model.embedded,
            waiting: model.waiting,
            failed: model.failed,
            not_queued: model.missing,
            index: model.index,
        }
    }
}

const HEADING: [&str; 8] =
    ["MODEL", "STATE", "ENTRIES", "EMBEDDED", "WAITING", "FAILED", "NOT QUEUED", "INDEX"];

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.models.iter().map(|row| {
            let index = match row.index {
                IndexState::None => "none",
                IndexState::Building => "building",
                IndexState::Ready => "ready",
            };
            [
                row.name.clone(),
                row.state.as_str().to_owned(),
                row.entries.to_string(),
                row.embedded.to_string(),
                row.waiting.to_string(),
                row.failed.to_string(),
                row.not_queued.to_string(),
                index.to_owned(),
            ]
        });
        Table::new(HEADING, rows).fmt(f)
    }
}

/// What was done, in a sentence.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    ok: bool,
    model: String,
    #[serde(skip)]
    sentence: String,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

fn done(model: &str, sentence: String) -> Done {
    Done { ok: true, model: model.to_owned(), sentence }
}

/// Shows all models.
pub(crate) async fn status(address: &DatabaseAddress) -> Result<Status, AdminError> {
    let mut connection = open(address).await?;
    let models = progress(&mut connection).await?;
    Ok(Status { models: models.into_iter().map(Row::from).collect() })
}

async fn find(connection: &mut PgConnection, name: &str) -> Result<Progress, AdminError> {
    let models = progress(connection).await?;
    let found = models.into_iter().find(|model| model.name == name);
    found.ok_or_else(|| AdminError::NoModel(name.to_owned()))
}

impl Index {
    pub(crate) async fn run(&self, address: &DatabaseAddress) -> Result<Done, AdminError> {
        let mut connection = open(address).await?;
        let model = find(&mut connection, &self.model).await?;
        match model.index {
            IndexState::Ready => Ok(done(&self.model, "the index is there already".to_owned())),
            IndexState::Building => Err(AdminError::Model(
                "somebody is building this index just now; admin embeddings status shows when it is ready".to_owned(),
            )),
            IndexState::None => {
                let Progress { id, dimensions, .. } = model;
                let memory = self.memory.as_deref();
                index::build(&mut connection, id, dimensions, memory).await?;
                Ok(done(&self.model, format!("searches by {} use its index from now on", self.model)))
            }
        }
    }
}

impl Switch {
    pub(crate) async fn run(&self, address: &DatabaseAddress) -> Result<Done, AdminError> {
        let mut connection = open(address).await?;
        let model = find(&mut connection, &self.model).await?;
        let name = &self.model;
        match model.state {
            ModelState::Serving => return Ok(done(name, format!("searches use {name} already"))),
            ModelState::Retired => {
                return Err(AdminError::Model(format!(
                    "{name} is retired, so its embeddings are not current; set it as the NEXT_ model of the workers, which fill it again"
                )));
            }
            ModelState::Filling => {}
        }
        if model.missing > 0 {
            return Err(AdminError::Model(format!(
                "no worker with {name} has looked at {} entries yet, which would not be found; wait for it",
                model.missing
            )));
        }
        let left = model.waiting + model.failed;
        if left > 0 && !self.force {
            return Err(AdminError::Model(format!(
                "{left} entries have no embedding of {name} yet ({} of them failed); wait, requeue what failed, or have them found by their words with --force",
                model.failed
            )));
        }
        if !model_change::switch(&mut connection, model.id).await? {
            return Err(AdminError::Model(format!(
                "{name} was changed by somebody else; look again"
            )));
        }
        Ok(done(name, format!("searches use {name} from now on")))
    }
}

impl Drop {
    pub(crate) async fn run(&self, address: &DatabaseAddress) -> Result<Done, AdminError> {
        let mut connection = open(address).await?;
        let model = find(&mut connection, &self.model).await?;
        let name = &self.model;
        if !model_change::retire(&mut connection, model.id).await? {
            return Err(AdminError::Model(format!(
                "searches use {name}; have them use another model first, by admin embeddings switch"
            )));
        }
        if !model_change::remove(&mut connection, model.id).await? {
            return Err(AdminError::Model(format!(
                "a worker uses {name} again; take it out of the workers' settings, then drop it"
            )));
        }
        Ok(done(name, format!("{name} is gone, with its embeddings")))
    }
}
