//! How far a command is: what its work tells on the way, and the board that keeps the newest of it for whoever asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentfs_contract::progress::{PATH, Progress as Told};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;

/// Told on the way.
pub type Progress<'a> = &'a (dyn Fn(&Update) + Send + Sync);

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The step, such as `load`.
    pub step: &'static str,
    /// The table or index, where there is one, or what is waited for.
    pub of: Option<String>,
    /// Bytes that are done of the step.
    pub done: u64,
    /// Bytes of the whole step; 0 where nobody knows.
    pub total: u64,
}

impl Update {
    /// Of a step that begins, and of which nothing is known.
    pub(super) fn begun(step: &'static str) -> Self {
        Self { step, of: None, done: 0, total: 0 }
    }

    /// How much of the step is done, from 0 to 100.
    fn percent(&self) -> Option<u8> {
        let percent = self.done.saturating_mul(100).checked_div(self.total)?;
        u8::try_from(percent.min(100)).ok()
    }
}

/// What a command is at before its first step.
const BEGIN: &str = "begin";

tokio::task_local! {
    /// The board of the command that this task carries out.
    static BOARD: Board;
}

/// What is known now. Clones are the same board.
#[derive(Debug, Clone)]
pub struct Board(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    told: Told,
    /// The steps that are under way, each within the one before it.
    steps: Vec<String>,
}

impl Default for Board {
    fn default() -> Self {
        let told = Told { step: BEGIN.to_owned(), ..Told::default() };
        Self(Arc::new(Mutex::new(State { told, steps: Vec::new() })))
    }
}

impl Board {
    /// Does work, all of which tells this board how far it is.
    pub async fn of<T>(self, work: impl Future<Output = T>) -> T {
        BOARD.scope(self, work).await
    }

    /// What is known now.
    pub fn read(&self) -> Told {
        self.state().told.clone()
    }

    /// The route by which it is asked.
    pub fn router(self) -> Router {
        Router::new().route(PATH, get(async move || Json(self.read())))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes what the board says, if the command has one.
fn tell(change: impl FnOnce(&mut State)) {
    let _ = BOARD.try_with(|board| change(&mut board.state()));
}

/// Tells how far a step is.
pub fn update(update: &Update) {
    tell(|State { told, steps }| {
        let within = steps.first().filter(|step| *step != update.step);
        let of = update.of.as_deref().unwrap_or_default();
        told.of = match within {
            // A part of a step that has a name of its own.
            Some(_) => Some(format!("{} {of}", update.step).trim_end().to_owned()),
            None => update.of.clone(),
        };
        told.step = within.cloned().unwrap_or_else(|| update.step.to_owned());
        told.percent = update.percent();
    });
}

/// Tells which backup is worked on.
pub(super) fn backup(id: &str) {
    tell(|state| state.told.backup = Some(id.to_owned()));
}

/// Tells what a restore in place is about to do: by which backup, and how many versions it is to take away.
pub(super) fn planned(of: &str, lost_versions: i64) {
    backup(of);
    tell(|state| state.told.lost_versions = Some(lost_versions));
}

/// Tells that what was restored in place is live, and how long requests waited for it.
pub(super) fn switched(at: Timestamp, seconds: Option<f64>) {
    tell(|State { told, .. }| (told.switched_at, told.switch_seconds) = (Some(at), seconds));
}

/// A step that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct Under(());

/// Tells that a step begins.
pub(super) fn step(name: &str) -> Under {
    tell(|State { told, steps }| {
        steps.push(name.to_owned());
        match &steps[..] {
            // What is told of it beforehand stays.
            [first] if *first == told.step => {}
            [first] => {
                told.step.clone_from(first);
                (told.of, told.percent) = (None, None);
            }
            [.., last] => (told.of, told.percent) = (Some(last.clone()), None),
            [] => {}
        }
    });
    Under(())
}

impl Drop for Under {
    fn drop(&mut self) {
        tell(|State { told, steps }| {
            steps.pop();
            if !steps.is_empty() {
                (told.of, told.percent) = (None, None);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_board_has_the_step_and_what_it_is_at() {
        let board = Board::default();
        let told = || {
            let Told { step, of, percent, .. } = board.read();
            (step, of, percent)
        };
        let is = |step: &str, of: Option<&str>, percent| {
            assert_eq!(told(), (step.to_owned(), of.map(str::to_owned), percent));
        };
        let load = |step, done| Update { step, of: Some("entries".into()), done, total: 8 };
        is(BEGIN, None, None);
        let work = async {
            update(&Update::begun("fetch"));
            is("fetch", None, None);
            let under = step("load");
            update(&load("load", 3));
            is("load", Some("entries"), Some(37));
            update(&load("load", 9));
            is("load", Some("entries"), Some(100));
            update(&Update { of: None, ..load("build", 4) });
            is("load", Some("build"), Some(50));
            let within = step("compare");
            is("load", Some("compare"), None);
            drop(within);
            is("load", None, None);
            drop(under);
            is("load", None, None);
            let _under = step("index");
            is("index", None, None);
            update(&Update::begun("index"));
            is("index", None, None);
            planned("b", 3);
            switched(Timestamp::UNIX_EPOCH, Some(0.5));
        };
        board.clone().of(work).await;
        // Of another command.
        update(&load("load", 1));
        let told = board.read();
        assert_eq!((told.step.as_str(), told.backup.as_deref()), ("index", Some("b")));
        assert_eq!((told.lost_versions, told.switch_seconds), (Some(3), Some(0.5)));
    }
}
