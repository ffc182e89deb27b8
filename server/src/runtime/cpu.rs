//! Computations that take longer than an asynchronous thread should be kept from its other tasks.

use std::num::NonZero;
use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use super::byte_budget::Owner;
use super::fair_semaphore::FairSemaphore;

/// Bytes that may take about a millisecond to parse, check and put together.
const LARGE: usize = 64 << 10;

/// Of several processors one is left to what is small: a client that sends much at once would take them all.
static TURNS: LazyLock<FairSemaphore<Owner>> = LazyLock::new(|| {
    let processors = available_parallelism().map_or(1, NonZero::get);
    FairSemaphore::new(processors.saturating_sub(1).max(1) as u64)
});

/// Computes over about so many `bytes` of `owner`. Owners take turns at what goes through many. Meanwhile another thread takes
/// over the other tasks of this one.
pub async fn compute<T>(owner: Owner, bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes < LARGE {
        return work();
    }
    compute_in_turn(&TURNS, owner, work).await
}

async fn compute_in_turn<T>(
    turns: &FairSemaphore<Owner>,
    owner: Owner,
    work: impl FnOnce() -> T,
) -> T {
    let has_others = || {
        Handle::try_current()
            .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
    };
    let _turn = turns.acquire(owner, 1).await;
    if has_others() { block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::task::yield_now;
    use uuid::Uuid;

    use super::*;
    use crate::domain::TenantId;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_tasks_go_on_meanwhile() {
        let (sender, receiver) = mpsc::channel();
        tokio::spawn(async {
            // The only thread is here.
            let other = tokio::spawn(async move { sender.send(()).unwrap() });
            compute(None, LARGE, move || receiver.recv()).await.unwrap();
            other.await.unwrap();
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn where_there_is_one_thread_it_computes() {
        assert_eq!(compute(None, LARGE, || 1).await + compute(None, 0, || 2).await, 3);
    }

    async fn until(is: impl Fn() -> bool) {
        let wait = async {
            while !is() {
                yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("in time");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn owners_take_turns_at_what_is_large() {
        let turns = FairSemaphore::new(1);
        let (done, order) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let compute_of = |owner: u128, work: Box<dyn FnOnce() + Send>| {
            let (turns, done) = (turns.clone(), done.clone());
            let owner = Some(TenantId(Uuid::from_u128(owner)));
            tokio::spawn(async move {
                compute_in_turn(&turns, owner, || {
                    work();
                    done.send(owner).unwrap();
                })
                .await;
            })
        };
        let wait = Box::new(move || may_go_on.recv().unwrap());
        let mut computed = vec![compute_of(1, wait)];
        until(|| turns.free() == 0).await;
        for owner in [1, 1, 2] {
            let tenant = Some(TenantId(Uuid::from_u128(owner)));
            let waiting = turns.waiting(&tenant);
            computed.push(compute_of(owner, Box::new(|| ())));
            until(|| turns.waiting(&tenant) > waiting).await;
        }
        assert_eq!(compute(None, LARGE - 1, || 3).await, 3, "what is small waits for nobody");
        go_on.send(()).unwrap();
        futures::future::join_all(computed).await;
        let order: Vec<u128> = order.try_iter().map(|owner| owner.unwrap().0.as_u128()).collect();
        assert_eq!(order, [1, 1, 2, 1]);
    }
}
