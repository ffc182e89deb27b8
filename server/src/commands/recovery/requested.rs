//! The request that a command works for (AGENTFS_REQUEST): begun before anything else is done, and ended as the last.

use std::process::ExitCode;

use agentfs_contract::request::Request;
use agentfs_contract::setting::REQUEST;

use super::followed::board;
use super::setting;
use crate::recovery::RecoveryError;
use crate::recovery::progress::Board;
use crate::recovery::request::{RequestError, Running};
use crate::runtime::exit::{failed_for_all_to_see, write_termination_message};
use crate::settings::DatabaseSettings;

/// Whether the live database is needed for what is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Live {
    /// It is, so that a request is noted in it.
    Needed,
    /// It may be gone or broken: then the request is noted in what takes its place.
    MayBeBroken,
}

/// What a command works for, which may be nothing but what was typed.
#[derive(Debug)]
pub(super) struct Requested(Option<Running>);

impl Requested {
    /// Begins the request of the environment, or goes on with it.
    pub(super) async fn begin(live: Live) -> Result<Self, RecoveryError> {
        let Some(text) = setting(REQUEST) else { return Ok(Self(None)) };
        let request: Request = text.parse().map_err(RequestError::Malformed)?;
        let url = DatabaseSettings::url_from_env()?;
        match Running::begin(&url, request.clone()).await {
            Err(error @ RecoveryError::Store(_))
                if live == Live::MayBeBroken && !error.is_transient() =>
            {
                tracing::warn!("{request} cannot be noted in the live database: {error}");
                Ok(Self(Some(Running::of_broken(&url, request))))
            }
            running => Ok(Self(Some(running?))),
        }
    }

    /// The request.
    pub(super) fn request(&self) -> Option<Request> {
        self.0.as_ref().map(|running| running.request().clone())
    }

    /// Resolves with `ended`, or once this run no longer keeps others of the request off.
    pub(super) async fn ended(&self, ended: impl Future<Output = RecoveryError>) -> RecoveryError {
        match &self.0 {
            None => ended.await,
            Some(running) => tokio::select! {
                error = ended => error,
                error = running.lost() => error,
            },
        }
    }

    /// Notes how it came out, by a sentence of its success or of its failure with whether that is transient: then the next run goes on
    /// with it.
    pub(super) async fn end(
        self,
        came_out: Result<String, (String, bool)>,
    ) -> Result<(), RecoveryError> {
        let Some(running) = self.0 else { return Ok(()) };
        match came_out {
            Ok(sentence) => running
                .end(true, &sentence)
                .await
                .map_err(|error| RequestError::NotNoted { error: Box::new(error) }.into()),
            Err((_, true)) => {
                running.release().await;
                Ok(())
            }
            Err((sentence, false)) => {
                // What it failed of is what has to be told.
                if let Err(error) = running.end(false, &sentence).await {
                    tracing::warn!("that it failed could not be noted in the database: {error}");
                }
                Ok(())
            }
        }
    }
}

/// Begins what a command works for that takes nothing out of the live memory, where it can be followed. Fails where there is nothing to
/// do, or nothing can be done. That our role may not note it is no reason not to do it.
pub(super) async fn begin() -> Result<(Board, Requested), ExitCode> {
    let board = board().map_err(|sentence| failed_for_all_to_see(&sentence, false))?;
    let requested = match Requested::begin(Live::Needed).await {
        Err(RecoveryError::Request(error @ RequestError::NotAllowed { .. })) => {
            tracing::warn!(
                "{error}. It is done now, and would be done again when it is asked for again"
            );
            Requested(None)
        }
        requested => requested.map_err(|error| not_done(&error))?,
    };
    Ok((board, requested))
}

/// Tells of an error for all to see. That there was nothing left to do is none.
pub(super) fn not_done(error: &RecoveryError) -> ExitCode {
    if let RecoveryError::Request(RequestError::AlreadyDone(done)) = error {
        write_termination_message(&done.write());
        eprintln!("agentfs-server: {error}");
        return ExitCode::SUCCESS;
    }
    failed_for_all_to_see(error, error.is_transient())
}

/// The first line of what is printed of a result.
pub(super) fn first_line(printed: &impl ToString) -> String {
    printed.to_string().lines().next().unwrap_or_default().to_owned()
}
