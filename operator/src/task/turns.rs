//! Who looks whose turn it is: one reconcile at a time for each AgentFS, whatever the kind of its task.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// A lock for each AgentFS that has tasks which begin or go on.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<String, Weak<AsyncMutex<()>>>>);

impl Turns {
    /// Waits until nobody else looks whose turn it is among the tasks of this AgentFS, and keeps others from it while it is held.
    pub async fn of(&self, namespace: &str, agentfs: &str) -> OwnedMutexGuard<()> {
        self.lock(format!("{namespace}/{agentfs}")).lock_owned().await
    }

    fn lock(&self, key: String) -> Arc<AsyncMutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| lock.strong_count() > 0);
        let known = locks.get(&key).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let lock = Arc::default();
            locks.insert(key, Arc::downgrade(&lock));
            lock
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn one_looks_at_a_time_for_each_agentfs() {
        let turns = Turns::default();
        let held = turns.of("agents", "memory").now_or_never().unwrap();
        assert!(turns.of("agents", "memory").now_or_never().is_none());
        for (namespace, agentfs) in [("agents", "other"), ("others", "memory")] {
            assert!(turns.of(namespace, agentfs).now_or_never().is_some(), "{namespace}/{agentfs}");
        }
        drop(held);
        assert!(turns.of("agents", "memory").now_or_never().is_some());
    }
}
