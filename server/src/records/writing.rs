//! Writes what is to be changed.

use agentfs_contract::manifest::Scope;
use agentfs_contract::record::{API_VERSION, KIND, OF, PLURAL};
use serde::Serialize;
use serde_json::{Value, json};

use super::difference::{Change, Status};
use super::error::RecordsError;
use super::facts;
use super::kubernetes::{Kubernetes, KubernetesError};

/// How many records were changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Made.
    pub created: usize,
    /// Brought up to date.
    pub updated: usize,
    /// Deleted.
    pub deleted: usize,
}

/// Makes all changes that can be made. One that is refused keeps no other from being made.
pub(super) async fn write(
    kubernetes: &Kubernetes,
    agentfs: &str,
    changes: Vec<Change>,
) -> Result<Written, RecordsError> {
    let (all, mut failed, mut first) = (changes.len(), 0, None);
    let mut written = Written::default();
    for change in changes {
        match make(kubernetes, agentfs, &change).await {
            Ok(()) => match change {
                Change::Create { .. } => written.created += 1,
                Change::Say { .. } => written.updated += 1,
                Change::Delete { .. } => written.deleted += 1,
            },
            // Nobody waits for each of them anew.
            Err(error @ RecordsError::Kubernetes(KubernetesError::Silent(_))) => return Err(error),
            Err(error) => {
                failed += 1;
                first.get_or_insert(error);
            }
        }
    }
    match first {
        None => Ok(written),
        Some(first) => Err(RecordsError::Some { failed, all, first: Box::new(first) }),
    }
}

async fn make(kubernetes: &Kubernetes, agentfs: &str, change: &Change) -> Result<(), RecordsError> {
    match change {
        Change::Create { name, id, scope, status } => {
            match kubernetes.create(PLURAL, &record(agentfs, name, id, *scope)).await {
                // Perhaps another run has made it meanwhile, or this one did and lost the answer.
                Err(error) if error.status() == Some(409) => {
                    let spec = kubernetes.get(PLURAL, name).await?["spec"].take();
                    if spec["recordOf"] != **id || spec["agentFS"] != *agentfs {
                        return Err(RecordsError::NameTaken(name.clone()));
                    }
                }
                created => created?,
            }
            say(kubernetes, name, status).await
        }
        Change::Say { name, status } => say(kubernetes, name, status).await,
        Change::Delete { name, uid } => {
            Ok(unless_gone(kubernetes.delete(PLURAL, name, uid).await)?)
        }
    }
}

async fn say(kubernetes: &Kubernetes, name: &str, status: &Status) -> Result<(), RecordsError> {
    let status = json!(status);
    Ok(unless_gone(kubernetes.apply_status((KIND, PLURAL), name, &status).await)?)
}

/// Somebody may have deleted it meanwhile.
fn unless_gone(done: Result<(), KubernetesError>) -> Result<(), KubernetesError> {
    match done {
        Err(error) if error.status() == Some(404) => Ok(()),
        done => done,
    }
}

fn record(agentfs: &str, name: &str, id: &str, scope: Scope) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "labels": {OF: agentfs}},
        "spec": {"agentFS": agentfs, "scope": facts::scope(scope), "recordOf": id},
    })
}
