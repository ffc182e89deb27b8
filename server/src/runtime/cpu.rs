//! Computations that take longer than an asynchronous thread should be kept from its other tasks.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Bytes that may take about a millisecond to parse, check and put together.
const LARGE: usize = 64 << 10;

/// Computes over about so many `bytes`. While it goes through many, another thread takes over the other tasks of this one.
pub fn compute<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let has_others = || {
        Handle::try_current()
            .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
    };
    if bytes >= LARGE && has_others() { block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_tasks_go_on_meanwhile() {
        let (sender, receiver) = std::sync::mpsc::channel();
        tokio::spawn(async {
            // The only thread is here.
            let other = tokio::spawn(async move { sender.send(()).unwrap() });
            compute(LARGE, move || receiver.recv()).unwrap();
            other.await.unwrap();
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn where_there_is_one_thread_it_computes() {
        assert_eq!(compute(LARGE, || 1) + compute(0, || 2), 3);
    }
}
