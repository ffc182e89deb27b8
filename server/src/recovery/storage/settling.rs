//! What dropped uploads and locks still have to undo at their storage.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

static UNSETTLED: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Undoes something; without a runtime it is left to the next sweep.
pub(super) fn spawn(undoing: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        wait_for(runtime.spawn(undoing));
    }
}

/// Has [`settled`] wait for a task.
pub(super) fn wait_for(task: JoinHandle<()>) {
    let mut unsettled = UNSETTLED.lock().unwrap_or_else(PoisonError::into_inner);
    unsettled.retain(|task| !task.is_finished());
    unsettled.push(task);
}

/// Waits until what was dropped has been undone, such as an upload by a command that is ended; at most for `patience`. What is left
/// then, the next run sweeps.
pub async fn settled(patience: Duration) {
    let wait = async {
        loop {
            let task = UNSETTLED.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(task) = task else { return };
            let _ = task.await;
        }
    };
    let _ = timeout(patience, wait).await;
}
