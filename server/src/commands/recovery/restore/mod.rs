//! `agentfs-server restore`: restores a backup into a new database or in place, undoes that, and drops what was live before.

mod arguments;
mod asking;
mod in_place;
mod into_database;
mod previous;
mod printing;
mod progress;
mod strategies;
mod undo;

use std::process::ExitCode;

use agentfs_contract::termination::{AlreadyDone, UnfinishedRestore, VolumeTooSmall};

pub use self::arguments::RestoreArgs;
use self::arguments::What;
use super::followed::board;
use super::requested::Requested;
use super::{ended, start_logging};
use crate::commands::in_runtime;
use crate::recovery::RecoveryError;
use crate::recovery::request::RequestError;
use crate::runtime::exit::{
    after_failure, failed, failed_for_all_to_see, write_termination_message,
};
use crate::settings::DatabaseUrl;

/// Why a restore did not do what was asked.
#[derive(Debug)]
struct Failure {
    sentence: String,
    is_transient: bool,
    /// Whether it failed after a restore in place had switched: what that restored is live.
    has_switched: bool,
    /// The size in bytes that the database's volume has to have, where it is too small.
    wants_volume: Option<u64>,
    /// Where there was nothing left to do, how that had come out before.
    already_done: Option<Box<AlreadyDone>>,
}

impl From<RecoveryError> for Failure {
    fn from(error: RecoveryError) -> Self {
        let (sentence, is_transient) = (error.to_string(), error.is_transient());
        let (has_switched, wants_volume) = (error.has_switched(), error.wants_volume());
        let already_done = match error {
            RecoveryError::Request(RequestError::AlreadyDone(done)) => Some(done),
            _ => None,
        };
        Self { sentence, is_transient, has_switched, wants_volume, already_done }
    }
}

impl Failure {
    /// One that somebody has to mend.
    fn said(sentence: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            is_transient: false,
            has_switched: false,
            wants_volume: None,
            already_done: None,
        }
    }

    /// What was done stands, but it could not be printed.
    fn of_output(error: &std::io::Error) -> Self {
        Self::said(format!("it is done, but its result cannot be printed: {error}"))
    }
}

/// Runs the command.
pub fn run(args: RestoreArgs) -> ExitCode {
    in_runtime(execute(args))
}

async fn execute(args: RestoreArgs) -> ExitCode {
    if let Err(sentence) = start_logging() {
        return failed(sentence);
    }
    let what = match args.what() {
        Ok(what) => what,
        Err(sentence) => return failed_for_all_to_see(&sentence, false),
    };
    let name = match what {
        What::InPlace | What::IntoDatabase => "restore",
        What::Undo => "undoing",
        What::DropPrevious => "removal",
    };
    let ended = match ended(name, args.deadline) {
        Ok(ended) => ended,
        Err(sentence) => return failed(sentence),
    };
    let board = match board() {
        Ok(board) => board,
        Err(sentence) => return failed_for_all_to_see(&sentence, false),
    };
    let done = match what {
        What::DropPrevious => tokio::select! {
            done = Box::pin(previous::run(&args)) => done,
            error = ended => Err(error.into()),
        },
        _ => Box::pin(board.of(once(&args, what, ended))).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { sentence, already_done: Some(done), .. }) => {
            write_termination_message(&done.write());
            eprintln!("agentfs-server: {sentence}");
            ExitCode::SUCCESS
        }
        Err(Failure { sentence, is_transient, has_switched: true, .. }) => {
            let (message, transient) = (sentence.clone(), is_transient);
            let report = UnfinishedRestore { message, transient, has_switched: true };
            write_termination_message(&report.write());
            failed(sentence);
            after_failure(is_transient)
        }
        Err(Failure { sentence, is_transient, wants_volume: Some(volume_bytes), .. }) => {
            let (message, transient) = (sentence.clone(), is_transient);
            let report = VolumeTooSmall { message, transient, volume_bytes };
            write_termination_message(&report.write());
            failed(sentence);
            after_failure(is_transient)
        }
        Err(Failure { sentence, is_transient, .. }) => {
            failed_for_all_to_see(&sentence, is_transient)
        }
    }
}

/// Does what was asked for, for a request only if it has not ended, and notes how it came out before that is told.
async fn once(
    args: &RestoreArgs,
    what: What,
    ended: impl Future<Output = RecoveryError> + Send,
) -> Result<(), Failure> {
    let requested = Requested::begin(args.live()).await?;
    let request = requested.request();
    let done = match what {
        What::IntoDatabase => Box::pin(into_database::run(args, request, ended)).await,
        What::InPlace => Box::pin(in_place::run(args, request, ended)).await,
        _ => Box::pin(undo::run(args, request, ended)).await,
    };
    let came_out = match &done {
        Ok(done) => Ok(done.sentence()),
        // What was restored is live, and what is left to do belongs to the database.
        Err(Failure { sentence, has_switched: true, is_transient: false, .. }) => {
            Ok(sentence.clone())
        }
        Err(Failure { sentence, is_transient, .. }) => Err((sentence.clone(), *is_transient)),
    };
    let noted = requested.end(came_out).await;
    let done = done?;
    let is_in_place = matches!(done, Done::InPlace(..));
    noted.map_err(|error| Failure { has_switched: is_in_place, ..error.into() })?;
    done.tell(args).await
}

/// What was done.
enum Done {
    /// A restore in place of the database, or its undoing.
    InPlace(Box<printing::Printed>, DatabaseUrl),
    /// A restore into a new database.
    New(Box<into_database::Printed>),
}

impl Done {
    /// In one sentence.
    fn sentence(&self) -> String {
        match self {
            Self::InPlace(printed, _) => printed.sentence(),
            Self::New(printed) => printed.sentence(),
        }
    }

    /// Tells Kubernetes and whoever asked.
    async fn tell(&self, args: &RestoreArgs) -> Result<(), Failure> {
        match self {
            Self::InPlace(printed, url) => printed.tell(args, url).await,
            Self::New(printed) => printed.tell(args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::restore::in_place::InPlaceError;

    #[test]
    fn what_fails_after_the_switch_says_that_it_has_switched() {
        let error = || Box::new(RecoveryError::Flawed("it is cut".into()));
        let after = RecoveryError::from(InPlaceError::AfterSwitch { error: error() });
        assert!(Failure::from(after).has_switched);
        let before = RecoveryError::from(InPlaceError::Unchanged { error: error() });
        assert!(!Failure::from(before).has_switched);
    }

    #[test]
    fn what_a_larger_volume_would_help_says_how_large() {
        let no_space = |volume| InPlaceError::NoSpace { what: "there is none".into(), volume };
        let failed = Failure::from(RecoveryError::from(no_space(Some(3 << 30))));
        assert_eq!((failed.wants_volume, failed.is_transient), (Some(3 << 30), false));
        let error = || Box::new(RecoveryError::from(no_space(Some(1))));
        let left = InPlaceError::Left { error: error(), left: error() };
        assert_eq!(Failure::from(RecoveryError::from(left)).wants_volume, Some(1));
        assert_eq!(Failure::from(RecoveryError::from(no_space(None))).wants_volume, None);
    }
}
