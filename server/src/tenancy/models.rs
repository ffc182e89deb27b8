//! Shows the models of embeddings, and changes from one to another without a stop.

use sqlx::postgres::PgConnection;

use super::{Administrator, Tenancy, TenancyError};
use crate::store::embeddings::index::{self, IndexState};
use crate::store::embeddings::model_change::{self, Progress, progress};
use crate::store::embeddings::models::ModelState;

/// What a model's state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPossible {
    /// Somebody builds its index already.
    #[error("somebody is building this index just now")]
    IndexIsBuilt,
    /// It is no longer filled.
    #[error("{0} is retired, so its embeddings are not current")]
    Retired(String),
    /// Not all entries were looked at for it.
    #[error("no worker with {model} has looked at {missing} entries yet, which would not be found")]
    NotLookedAt {
        /// The model.
        model: String,
        /// How many entries.
        missing: i64,
    },
    /// Not all entries have its embedding.
    #[error("{left} entries have no embedding of {model} yet ({failed} of them failed)")]
    NotFilled {
        /// The model.
        model: String,
        /// How many entries.
        left: i64,
        /// How many of them have none since their jobs failed.
        failed: i64,
    },
    /// Somebody else was faster.
    #[error("{0} was changed by somebody else")]
    Changed(String),
    /// Searches need it.
    #[error("searches use {0}")]
    Serving(String),
    /// A worker fills it.
    #[error("a worker uses {0} again")]
    UsedByWorker(String),
}

impl Tenancy {
    /// How far all models are, the oldest first.
    pub async fn models(&self, by: Administrator) -> Result<Vec<Progress>, TenancyError> {
        by.of_all()?;
        Ok(progress(&mut *self.connection().await?).await?)
    }

    /// Builds the index of a model's vectors, with at most `memory` of the database's machine; searches and writes go on.
    /// False where it is there already.
    pub async fn build_index(
        &self,
        by: Administrator,
        name: &str,
        memory: Option<&str>,
    ) -> Result<bool, TenancyError> {
        by.of_all()?;
        let mut connection = self.connection().await?;
        let Progress { id, dimensions, index, .. } = find(&mut connection, name).await?;
        match index {
            IndexState::Ready => Ok(false),
            IndexState::Building => Err(NotPossible::IndexIsBuilt.into()),
            IndexState::None => {
                index::build(&mut *connection, id, dimensions, memory).await?;
                Ok(true)
            }
        }
    }

    /// Has searches use a model that workers have filled; the one they used is retired. `force`: even though entries wait
    /// for its embeddings. False where they use it already.
    pub async fn switch_model(
        &self,
        by: Administrator,
        name: &str,
        force: bool,
    ) -> Result<bool, TenancyError> {
        by.of_all()?;
        let mut connection = self.connection().await?;
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
        if !model_change::switch(&mut connection, found.id).await? {
            return Err(NotPossible::Changed(model).into());
        }
        Ok(true)
    }

    /// Removes a model that searches do not use, with its embeddings and its index.
    pub async fn drop_model(&self, by: Administrator, name: &str) -> Result<(), TenancyError> {
        by.of_all()?;
        let mut connection = self.connection().await?;
        let Progress { id, .. } = find(&mut connection, name).await?;
        if !model_change::retire(&mut connection, id).await? {
            return Err(NotPossible::Serving(name.to_owned()).into());
        }
        if !model_change::remove(&mut connection, id).await? {
            return Err(NotPossible::UsedByWorker(name.to_owned()).into());
        }
        Ok(())
    }
}

async fn find(connection: &mut PgConnection, name: &str) -> Result<Progress, TenancyError> {
    let models = progress(connection).await?;
    let found = models.into_iter().find(|model| model.name == name);
    found.ok_or_else(|| TenancyError::NoModel(name.to_owned()))
}
