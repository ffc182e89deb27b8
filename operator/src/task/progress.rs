//! How far a task's pod says that it is.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentfs_contract::progress::{PATH, Progress};
use k8s_openapi::api::core::v1::Pod;

use crate::kit::ownership::Owner;
use crate::kit::pod_client::PodClient;
use crate::kit::pods;

/// The name of the port on which a pod says how far it is.
pub const PORT: &str = "progress";
/// How often a pod is asked at most.
pub const PAUSE: Duration = Duration::from_secs(5);

/// Asks pods how far they are. A trait, so that tests need no pods.
pub trait Ask: Send + Sync {
    /// What the pod at `address` says; `None` when it says nothing that can be understood.
    fn ask(
        &self,
        address: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Option<Progress>> + Send + '_>>;
}

impl Ask for PodClient {
    fn ask(
        &self,
        address: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Option<Progress>> + Send + '_>> {
        Box::pin(async move { Progress::read(&self.get(address, PATH).await?) })
    }
}

/// What pods of tasks said last, and when, so that none is asked more often than it may be.
pub struct Asked {
    ask: Box<dyn Ask>,
    said: Mutex<HashMap<String, (Instant, Option<Progress>)>>,
}

impl Asked {
    /// Nobody was asked; `ask` does it.
    pub fn new(ask: impl Ask + 'static) -> Self {
        Self { ask: Box::new(ask), said: Mutex::default() }
    }

    /// What the one of `pods`, which are of the task `owner`, says that runs; or said, where it was asked a moment ago.
    pub async fn progress(&self, owner: &Owner, pods: &[Pod]) -> Option<Progress> {
        let address = pods.iter().find_map(address)?;
        if let Some((at, said)) = self.said().get(&owner.uid)
            && at.elapsed() < PAUSE
        {
            return said.clone();
        }
        let said = self.ask.ask(address).await;
        self.said().insert(owner.uid.clone(), (Instant::now(), said.clone()));
        said
    }

    /// Forgets what the pods of a task said, which has ended or is gone.
    pub fn forget(&self, uid: &str) {
        self.said().remove(uid);
    }

    fn said(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Option<Progress>)>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a pod that runs says how far it is.
fn address(pod: &Pod) -> Option<SocketAddr> {
    let is_there = pods::runs(pod) && pod.metadata.deletion_timestamp.is_none();
    let address = pod.status.as_ref()?.pod_ip.as_ref().filter(|_| is_there)?.parse().ok()?;
    Some(SocketAddr::new(address, pods::port(pod, PORT)?))
}
