//! Writes, scales and deletes single objects.
//!
//! Server-side apply with one field manager. An object is equal when the annotated hash of what was
//! applied matches and the live values of our fields do; then nothing is written. So what others
//! change of ours is repaired at once, and what they add stays.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::Status;
use kube::{Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::blockers::{Blocker, Problem};
use super::desired::Desired;
use super::digest;
use super::equality::covers;
use super::labels::MANAGER;

/// The annotation that holds the hash of what was applied.
const APPLIED_HASH: &str = "agentfs.io/applied-hash";

/// Why objects could not be written; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else wrote at the same moment, or the API server cannot be reached.
    #[error("cannot write the {kind} {name}: {source}")]
    Unavailable {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
        /// What went wrong.
        source: kube::Error,
    },
    /// The namespace is being deleted, and nothing can be made in it any more.
    #[error("the namespace is being deleted")]
    NamespaceEnds,
    /// An object could not be written as JSON.
    #[error("cannot express the {kind} {name} as JSON: {source}")]
    Json {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
        /// What went wrong.
        source: serde_json::Error,
    },
}

/// Every object that the operator writes: it has a namespace and a type known here.
pub trait Writable:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
{
}

impl<K> Writable for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

/// An object that keeps a number of pods.
pub trait Scalable: Writable {
    /// How many pods it keeps.
    fn replicas(&self) -> Option<i32>;

    /// Notes how many it keeps.
    fn set_replicas(&mut self, replicas: i32);
}

impl Scalable for Deployment {
    fn replicas(&self) -> Option<i32> {
        self.spec.as_ref()?.replicas
    }

    fn set_replicas(&mut self, replicas: i32) {
        self.spec.get_or_insert_default().replicas = Some(replicas);
    }
}

impl Scalable for StatefulSet {
    fn replicas(&self) -> Option<i32> {
        self.spec.as_ref()?.replicas
    }

    fn set_replicas(&mut self, replicas: i32) {
        self.spec.get_or_insert_default().replicas = Some(replicas);
    }
}

/// Writes the objects of one resource, and notes what keeps some from being written.
pub struct Writer<'a> {
    client: &'a Client,
    namespace: &'a str,
    /// What was known before, and the objects that the API server refused.
    pub blockers: Vec<Blocker>,
}

impl<'a> Writer<'a> {
    /// A writer into `namespace` that knows of `blockers` already.
    pub fn new(client: &'a Client, namespace: &'a str, blockers: Vec<Blocker>) -> Self {
        Self { client, namespace, blockers }
    }

    /// Makes of a child what is to become of it; the object as the API server has it then. `of` is
    /// the condition that tells of it, `live` what was observed.
    pub async fn child<K: Writable>(
        &mut self,
        of: &'static str,
        child: Desired<K>,
        live: Option<&K>,
    ) -> Result<Option<K>, Error> {
        match (child, live) {
            // The futures are large; on the heap they do not fill the stack of whoever waits.
            (Desired::Apply(wanted), live) => Box::pin(self.wanted(of, wanted, live)).await,
            (Desired::Keep, live) => Ok(live.cloned()),
            (Desired::Delete, None) => Ok(None),
            (Desired::Delete, Some(live)) => {
                let only = Preconditions { uid: live.uid(), resource_version: None };
                self.delete::<K>(&live.name_any(), Some(only)).await?;
                Ok(None)
            }
        }
    }

    async fn wanted<K: Writable>(
        &mut self,
        of: &'static str,
        wanted: K,
        live: Option<&K>,
    ) -> Result<Option<K>, Error> {
        let name = wanted.name_any();
        let kind = K::kind(&()).into_owned();
        if self.blockers.iter().any(|blocker| blocker.blocks(&kind, &name)) {
            return Ok(None);
        }
        match self.apply(&kind, &name, &wanted, live).await {
            Ok(applied) => Ok(Some(applied)),
            Err(WriteFailure::Refused(message)) => {
                let problem = Problem::Refused { kind, name, message };
                self.blockers.push(Blocker { of, problem });
                Ok(live.cloned())
            }
            Err(WriteFailure::Error(error)) => Err(error),
        }
    }

    /// Makes the live object have all that `wanted` says. Writes nothing when it does already.
    async fn apply<K: Writable>(
        &self,
        kind: &str,
        name: &str,
        wanted: &K,
        live: Option<&K>,
    ) -> Result<K, WriteFailure> {
        let json = |source| {
            WriteFailure::Error(Error::Json { kind: kind.into(), name: name.into(), source })
        };
        let mut patch = hashed(serde_json::to_value(wanted).map_err(json)?);
        if let Some(live) = live {
            if covers(&serde_json::to_value(live).map_err(json)?, &patch) {
                return Ok(live.clone());
            }
            // Only that very object may be changed, not another one that took its place meanwhile.
            patch["metadata"]["uid"] = json!(live.uid());
        }
        // What was not there is made without force, so that an object that somebody made meanwhile is
        // not overwritten.
        let params = PatchParams {
            field_manager: Some(MANAGER.into()),
            force: live.is_some(),
            ..PatchParams::default()
        };
        tracing::info!(kind, name, namespace = self.namespace, new = live.is_none(), "applying");
        let api: Api<K> = self.api();
        let mut applied = api.patch(name, &params, &Patch::Apply(&patch)).await;
        if live.is_some() && applied.as_ref().is_err_and(is_contradiction) {
            applied = replace_lists(&api, name, &patch, &params).await;
        }
        applied.map_err(|error| failure(kind, name, error))
    }

    /// Makes the number of pods what is wanted, where `replicas` says so. It is set by itself, never by
    /// an apply, so that an autoscaler can have it.
    pub async fn scale<K: Scalable>(
        &mut self,
        of: &'static str,
        workload: Option<K>,
        replicas: Option<i32>,
    ) -> Result<Option<K>, Error> {
        let Some(mut workload) = workload else { return Ok(None) };
        let Some(wanted) = replicas else { return Ok(Some(workload)) };
        // What the API server has none of is one.
        if workload.replicas().unwrap_or(1) == wanted {
            return Ok(Some(workload));
        }
        let (kind, name) = (K::kind(&()).into_owned(), workload.name_any());
        tracing::info!(kind, name, namespace = self.namespace, replicas = wanted, "scaling");
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({"spec": {"replicas": wanted}}));
        match self.api::<K>().patch_scale(&name, &params, &patch).await {
            Ok(_) => workload.set_replicas(wanted),
            Err(error) => match failure(&kind, &name, error) {
                WriteFailure::Refused(message) => {
                    let problem = Problem::Refused { kind, name, message };
                    self.blockers.push(Blocker { of, problem });
                }
                WriteFailure::Error(error) => return Err(error),
            },
        }
        Ok(Some(workload))
    }

    /// Deletes the object `name`; one that is not there is as good as deleted.
    pub async fn delete<K: Writable>(
        &self,
        name: &str,
        preconditions: Option<Preconditions>,
    ) -> Result<(), Error> {
        let params = DeleteParams { preconditions, ..DeleteParams::background() };
        self.delete_by::<K>(name, params).await
    }

    /// The same in the way of `params`.
    pub async fn delete_by<K: Writable>(
        &self,
        name: &str,
        params: DeleteParams,
    ) -> Result<(), Error> {
        let kind = K::kind(&());
        tracing::info!(%kind, name, namespace = self.namespace, "deleting what is no longer wanted");
        match self.api::<K>().delete(name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => {
                Err(Error::Unavailable { kind: kind.into_owned(), name: name.into(), source })
            }
        }
    }

    fn api<K: Writable>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), self.namespace)
    }
}

/// Why an object was not applied.
enum WriteFailure {
    /// The API server refuses it, and says why.
    Refused(String),
    /// It may go better next time.
    Error(Error),
}

/// Whether the object would contradict itself.
fn is_contradiction(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 422)
}

/// A hand that changed the number of a port left an element that is not ours, and ours beside it
/// would have the same name. Then our lists replace those that are there, and the apply is repeated.
async fn replace_lists<K>(
    api: &Api<K>,
    name: &str,
    patch: &Value,
    params: &PatchParams,
) -> Result<K, kube::Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    let replace = PatchParams { force: false, ..params.clone() };
    let spec = json!({"metadata": {"uid": patch["metadata"]["uid"]}, "spec": patch["spec"]});
    api.patch(name, &replace, &Patch::Merge(&spec)).await?;
    api.patch(name, params, &Patch::Apply(patch)).await
}

/// An object with the annotation that says what was applied.
fn hashed(mut object: Value) -> Value {
    let hash = digest::hash([object.to_string().as_str()]);
    object["metadata"]["annotations"][APPLIED_HASH] = json!(hash);
    object
}

fn failure(kind: &str, name: &str, error: kube::Error) -> WriteFailure {
    match error {
        kube::Error::Api(status) if tells_of_end(&status) => {
            WriteFailure::Error(Error::NamespaceEnds)
        }
        // 401: our token; 409: somebody else wrote; 429: too many requests. These pass.
        kube::Error::Api(status)
            if (400..500).contains(&status.code) && !matches!(status.code, 401 | 409 | 429) =>
        {
            WriteFailure::Refused(status.message)
        }
        source => {
            WriteFailure::Error(Error::Unavailable { kind: kind.into(), name: name.into(), source })
        }
    }
}

/// Whether a refusal says that the namespace is being deleted.
fn tells_of_end(status: &Status) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == "NamespaceTerminating")
}
