//! Shows the embedding models, and switches from one to another without downtime.

use sqlx::postgres::PgConnection;

use super::{Administrator, Tenancy, TenancyError};
use crate::store::embeddings::index::{self, IndexState};
use crate::store::embeddings::model_change::{self, Progress, progress};
use crate::store::embeddings::models::ModelState;

/// Why a model's state does not allow a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPossible {
    /// Its index is already being built.
    #[error("somebody is building this index just now")]
    IndexIsBuilt,
    /// It is retired, so its embeddings are not current.
    #[error("{0} is retired, so its embeddings are not current")]
    Retired(String),
    /// No worker has looked at all entries yet.
    #[error("no worker with {model} has looked at {missing} entries yet, which would not be found")]
    NotLookedAt {
        /// The model.
        model: String,
        /// How many entries.
        missing: i64,
    },
    /// Some entries have no embedding of it yet.
    #[error("{left} entries have no embedding of {model} yet ({failed} of them failed)")]
    NotFilled {
        /// The model.
        model: String,
        /// How many entries.
        left: i64,
        /// How many of their jobs failed.
        failed: i64,
    },
    /// Somebody else has changed it meanwhile.
    #[error("{0} was changed by somebody else")]
    Changed(String),
    /// Searches use it.
    #[error("searches use {0}")]
    Serving(String),
    /// A worker uses it again.
    #[error("a worker uses {0} again")]
    UsedByWorker(String),
}

impl Tenancy {
    /// The progress of all models, the oldest first.
    pub async fn models(&self, by: Administrator) -> Result<Vec<Progress>, TenancyError> {
        by.must_be_of_all()?;
        Ok(progress(&mut *self.connection(&by).await?).await?)
    }

    /// Builds a model's vector index, with `memory` as maintenance_work_mem; searches and writes go on. False if it exists
    /// already.
    pub async fn build_index(
        &self,
        by: Administrator,
        name: &str,
        memory: Option<&str>,
    ) -> Result<bool, TenancyError> {
        by.must_be_of_all()?;
        let mut connection = self.connection(&by).await?;
        let Progress { id, dimensions, index, .. } = find(&mut connection, name).await?;
        match index {
            IndexState::Ready => Ok(false),
            IndexState::Building => Err(NotPossible::IndexIsBuilt.into()),
            IndexState::None => {
                let act = by.begin("build_index", name, None);
                // Nobody waits for it, and the other processors serve.
                index::build(&mut connection, id, dimensions, memory, 1).await?;
                act.done("");
                Ok(true)
            }
        }
    }

    /// Switches searches to a model that workers have filled; the previous one is retired. `force`: even if entries still
    /// wait for their embeddings. False if searches use it already.
    pub async fn switch_model(
        &self,
        by: Administrator,
        name: &str,
        force: bool,
    ) -> Result<bool, TenancyError> {
        by.must_be_of_all()?;
        let mut connection = self.connection(&by).await?;
        let found = find(&mut connection, name).await?;
        let model = name.to_owned();
        match found.state {
            ModelState::Serving => return Ok(false),
            ModelState::Retired => return Err(NotPossible::Retired(model).into()),
            ModelState::Filling => {}
        }
        if found.missing > 0 {
            return Err(NotPossible::NotLookedAt { model, missing: found.missing }.into());
        }
        let left = found.waiting + found.failed;
        if left > 0 && !force {
            return Err(NotPossible::NotFilled { model, left, failed: found.failed }.into());
        }
        let act = by.begin("switch_model", name, None);
        if !model_change::switch(&mut connection, found.id).await? {
            act.nothing();
            return Err(NotPossible::Changed(model).into());
        }
        act.done("");
        Ok(true)
    }

    /// Removes a model that searches do not use, with its embeddings and its index.
    pub async fn drop_model(&self, by: Administrator, name: &str) -> Result<(), TenancyError> {
        by.must_be_of_all()?;
        let mut connection = self.connection(&by).await?;
        let Progress { id, .. } = find(&mut connection, name).await?;
        let act = by.begin("drop_model", name, None);
        if !model_change::retire(&mut connection, id).await? {
            act.nothing();
            return Err(NotPossible::Serving(name.to_owned()).into());
        }
        if !model_change::remove(&mut connection, id).await? {
            return Err(NotPossible::UsedByWorker(name.to_owned()).into());
        }
        act.done("");
        Ok(())
    }
}

async fn find(connection: &mut PgConnection, name: &str) -> Result<Progress, TenancyError> {
    let models = progress(connection).await?;
    let found = models.into_iter().find(|model| model.name == name);
    found.ok_or_else(|| TenancyError::NoModel(name.to_owned()))
}
