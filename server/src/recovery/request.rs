//! A request: a resource that a command carries out once for ever. The database remembers it, so that the same one, asked for again
//! however much later, does nothing; and one whose run was killed goes on with what that had chosen.

use std::time::Duration;

use agentfs_contract::request::{Malformed, Request};
use agentfs_contract::setting::REQUEST;
use agentfs_contract::termination::AlreadyDone;
use tokio::sync::Mutex;

use super::error::RecoveryError;
use crate::settings::DatabaseUrl;
use crate::store::StoreError;
use crate::store::connection::address::DatabaseAddress;
use crate::store::requests::{self, Hold, Noted};

/// How often it is asked whether the request is still held.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long the database is waited for, to note how a request ended.
const PATIENCE: Duration = Duration::from_secs(15);

/// Longest sentence that is kept of how it ended, in bytes: Kubernetes takes a report of 4096, in which JSON may escape each.
const MAX_SENTENCE: usize = 600;

/// Why a request is not carried out now.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The setting is none.
    #[error("{REQUEST} is not valid: {0}")]
    Malformed(Malformed),
    /// It has ended before.
    #[error("nothing was done: {} at {:.0} ({})", outcome(.0), .0.already_done, .0.message)]
    AlreadyDone(Box<AlreadyDone>),
    /// Another run carries it out.
    #[error("another run of {0} is under way; wait for its end")]
    UnderWay(String),
    /// The session that kept other runs off has ended.
    #[error(
        "the session that kept other runs of {0} off has ended; run this again, which goes on with it"
    )]
    Lost(String),
    /// Our role may not note it.
    #[error(
        "our role may not note in the database that {request} is carried out once ({error}): as the owner of the database or a superuser, run \
         GRANT CREATE ON DATABASE … TO that role, then run this again"
    )]
    NotAllowed {
        /// The request.
        request: String,
        /// What PostgreSQL says.
        #[source]
        error: StoreError,
    },
    /// What was asked for is done, and that is not noted.
    #[error(
        "it is done, but that could not be noted in the database ({error}): run this again, which notes it"
    )]
    NotNoted {
        /// Why not.
        #[source]
        error: Box<RecoveryError>,
    },
}

impl RequestError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::UnderWay(_) | Self::Lost(_) | Self::NotNoted { .. })
    }
}

fn outcome(done: &AlreadyDone) -> &'static str {
    if done.succeeded { "this was done" } else { "this was tried and failed" }
}

/// A request that this run carries out.
#[derive(Debug)]
pub struct Running {
    url: DatabaseUrl,
    request: Request,
    /// `None` in a database that nothing can be noted in.
    hold: Option<Mutex<Hold>>,
}

impl Running {
    /// Begins a request, or goes on with one whose run was killed. Fails where it has ended, or another run is at it.
    pub async fn begin(url: &DatabaseUrl, request: Request) -> Result<Self, RecoveryError> {
        let Some(mut hold) = Hold::take(url, &request).await? else {
            return Err(RequestError::UnderWay(request.to_string()).into());
        };
        let noted = match hold.begin(&request).await {
            Err(error) if error.is_forbidden() => {
                let request = request.to_string();
                return Err(RequestError::NotAllowed { request, error }.into());
            }
            noted => noted?,
        };
        let noted = unless_ended(noted)?;
        if let Some(given_up) = is_given_up(&noted, &request) {
            unless_ended(hold.give_up(&request, &given_up).await?)?;
        }
        hold.see(&request).await?;
        Ok(Self { url: url.clone(), request, hold: Some(Mutex::new(hold)) })
    }

    /// One of a database that cannot be read, and that another takes the place of.
    pub fn of_broken(url: &DatabaseUrl, request: Request) -> Self {
        Self { url: url.clone(), request, hold: None }
    }

    /// The request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Resolves once this run no longer keeps others off, with what to say of it.
    pub async fn lost(&self) -> RecoveryError {
        let Some(hold) = &self.hold else { return std::future::pending().await };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if !matches!(hold.lock().await.is_held().await, Ok(true)) {
                return RequestError::Lost(self.request.to_string()).into();
            }
        }
    }

    /// Notes how it ended, by a sentence, so that it is never carried out again.
    pub async fn end(self, succeeded: bool, message: &str) -> Result<(), RecoveryError> {
        // On a connection of its own: a database that was exchanged has ended the other one.
        let address = DatabaseAddress::of(&self.url);
        address.wait_until_reachable(PATIENCE).await;
        let sentence = &message[..message.floor_char_boundary(MAX_SENTENCE)];
        let ending = async {
            let mut connection = address.connect_unlimited().await?;
            requests::end(&mut connection, &self.request, succeeded, sentence).await
        };
        let ended = ending.await;
        let Self { request, hold, .. } = self;
        match (ended, hold) {
            (ended, Some(hold)) => {
                hold.into_inner().release().await;
                Ok(ended?)
            }
            (Err(error), None) => {
                tracing::warn!("how {request} ended could not be noted: {error}");
                Ok(())
            }
            (Ok(()), None) => Ok(()),
        }
    }

    /// Leaves it begun, so that the next run goes on with it.
    pub async fn release(self) {
        if let Some(hold) = self.hold {
            let mut hold = hold.into_inner();
            // A session that is lost has nothing to say of it.
            hold.see(&self.request).await.ok();
            hold.release().await;
        }
    }
}

/// Why nobody goes on with a request that was begun, as a sentence: the resource that began it is gone, so that whoever applies the same
/// again asks for what was cancelled or had its last try long ago. What has switched, or has emptied the live tables, is brought to
/// its end even so.
fn is_given_up(noted: &Noted, request: &Request) -> Option<String> {
    let (by, now) = noted.uid.as_ref().zip(request.uid.as_ref())?;
    if by == now || noted.switched_at.is_some() || noted.has_emptied {
        return None;
    }
    let at = noted.seen_at.map(|at| format!(" at {at:.0}")).unwrap_or_default();
    Some(format!("it was cancelled or gave up{at}, before it was done"))
}

/// What is known of a request that has not ended.
pub(super) fn unless_ended(mut noted: Noted) -> Result<Noted, RequestError> {
    match noted.ended.take() {
        Some(done) => Err(RequestError::AlreadyDone(Box::new(done))),
        None => Ok(noted),
    }
}

/// What is known of the request, if there is one, in the database of `url`, for whoever keeps other runs of it off.
pub(super) async fn look(
    url: &DatabaseUrl,
    request: Option<&Request>,
) -> Result<Noted, RecoveryError> {
    let Some(request) = request else { return Ok(Noted::default()) };
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    Ok(unless_ended(requests::look(&mut connection, request).await?)?)
}

/// Notes the backup that the request, if there is one, makes or has chosen.
pub(super) async fn note_backup(
    url: &DatabaseUrl,
    request: Option<&Request>,
    backup: &str,
) -> Result<(), RecoveryError> {
    let Some(request) = request else { return Ok(()) };
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    Ok(requests::note_backup(&mut connection, request, backup).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_says_how_and_is_not_tried_again() {
        let done = |succeeded| {
            let already_done = "2026-11-28T14:08:00Z".parse().unwrap();
            let message = "the restore was undone".to_owned();
            Noted {
                ended: Some(AlreadyDone {
                    already_done,
                    succeeded,
                    message,
                    restore: None,
                    switched_at: None,
                    previous_until: None,
                }),
                ..Noted::default()
            }
        };
        for (succeeded, told) in [(true, "this was done"), (false, "this was tried and failed")] {
            let error = unless_ended(done(succeeded)).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "nothing was done: {told} at 2026-11-28T14:08:00Z (the restore was undone)"
                )
            );
            assert!(!error.is_transient());
        }
        assert_eq!(unless_ended(Noted::default()).unwrap(), Noted::default());
    }
}
