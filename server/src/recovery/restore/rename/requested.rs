//! What is known of the request that a run is done for, and what is left to do of one that was killed.

use agentfs_contract::request::Request;

use super::{Indexing, Site, Stop};
use crate::recovery::error::RecoveryError;
use crate::recovery::restore::in_place::Switched;
use crate::recovery::steps::Steps;
use crate::recovery::{progress, request};
use crate::store::databases::exchange::Previous;
use crate::store::in_place::security::Security;
use crate::store::requests::Noted;

impl Site<'_> {
    /// What is known of the request, if there is one. Nothing is, where the live database cannot be read and does not have to be.
    pub(super) async fn noted(
        &self,
        request: Option<&Request>,
        security: Security,
    ) -> Result<Noted, RecoveryError> {
        match request::look(self.url, request).await {
            Err(error @ RecoveryError::Store(_))
                if security == Security::FromBackup && !error.is_transient() =>
            {
                Ok(Noted::default())
            }
            noted => noted,
        }
    }

    /// Where the request had exchanged the databases already, in a run that was killed: does what is left to do, unless another run has
    /// done it since.
    pub(super) async fn go_on(
        &mut self,
        noted: &Noted,
        indexing: Indexing<'_>,
        stop: Stop<'_>,
    ) -> Result<Option<Switched>, RecoveryError> {
        let (Some(id), Some(at)) = (noted.restore, noted.switched_at) else { return Ok(None) };
        match self.server.previous(&self.names).await? {
            Previous::Kept(note) if note.id == id && !note.is_finished => {
                progress::switched(note.switched_at, None);
                self.end(note, indexing, Steps::default(), stop).await.map(Some)
            }
            Previous::Kept(note) if note.id == id => Ok(Some(Switched {
                backup: note.backup,
                previous_until: note.previous_until,
                ..Switched::past(id, note.switched_at, None)
            })),
            _ => Ok(Some(Switched::past(id, at, noted.backup.as_deref()))),
        }
    }
}
