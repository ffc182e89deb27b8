//! `agentfs-server admin embeddings`: shows the models and their progress, builds indexes, switches models.

use std::fmt;

use serde::Serialize;

use super::AdminError;
use crate::commands::output::Table;
use crate::store::embeddings::index::IndexState;
use crate::store::embeddings::model_change::Progress;
use crate::store::embeddings::models::ModelState;
use crate::tenancy::{Administrator, Tenancy};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum EmbeddingsCommand {
    /// Show all models, with how many entries are embedded and how many wait
    Status,
    /// Build the vector index of a model, for agents with more than 10,000 entries; searches and writes go on
    Index(Index),
    /// Switch searches to a model that workers have filled, and retire the current one
    Switch(Switch),
    /// Drop a model that searches do not use, with its embeddings and index
    Drop(Drop),
}

/// Which index is to be built.
#[derive(Debug, clap::Args)]
pub(crate) struct Index {
    /// The name of the model, as `status` shows it
    #[arg(value_name = "MODEL")]
    model: String,
    /// Memory that the build may use on the database server, such as 1GB. Defaults to the server's maintenance_work_mem
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
}

/// Which model is to serve.
#[derive(Debug, clap::Args)]
pub(crate) struct Switch {
    /// The name of the model, as `status` shows it
    #[arg(value_name = "MODEL")]
    model: String,
    /// Switch even if entries wait for embeddings: until then only full-text search finds them
    #[arg(long)]
    force: bool,
}

/// Which model is to go.
#[derive(Debug, clap::Args)]
pub(crate) struct Drop {
    /// The name of the model, as `status` shows it
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
    /// Vectors of long values besides their first ones.
    chunks: i64,
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
            chunks: model.chunks,
            waiting: model.waiting,
            failed: model.failed,
            not_queued: model.missing,
            index: model.index,
        }
    }
}

const HEADING: [&str; 9] =
    ["MODEL", "STATE", "ENTRIES", "EMBEDDED", "CHUNKS", "WAITING", "FAILED", "NOT QUEUED", "INDEX"];

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
                row.chunks.to_string(),
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
pub(crate) async fn status(tenancy: &Tenancy) -> Result<Status, AdminError> {
    let models = tenancy.models(Administrator::command()).await?;
    Ok(Status { models: models.into_iter().map(Row::from).collect() })
}

impl Index {
    pub(crate) async fn run(&self, tenancy: &Tenancy) -> Result<Done, AdminError> {
        let (model, memory) = (&self.model, self.memory.as_deref());
        let sentence = if tenancy.build_index(Administrator::command(), model, memory).await? {
            format!("searches by {model} use its index from now on")
        } else {
            "the index is there already".to_owned()
        };
        Ok(done(model, sentence))
    }
}

impl Switch {
    pub(crate) async fn run(&self, tenancy: &Tenancy) -> Result<Done, AdminError> {
        let model = &self.model;
        let sentence = if tenancy.switch_model(Administrator::command(), model, self.force).await? {
            format!("searches use {model} from now on")
        } else {
            format!("searches use {model} already")
        };
        Ok(done(model, sentence))
    }
}

impl Drop {
    pub(crate) async fn run(&self, tenancy: &Tenancy) -> Result<Done, AdminError> {
        tenancy.drop_model(Administrator::command(), &self.model).await?;
        Ok(done(&self.model, format!("{} is gone, with its embeddings", self.model)))
    }
}
