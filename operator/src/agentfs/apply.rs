//! The fourth call of a reconcile: write what differs.
//!
//! Server-side apply with one field manager. An object is equal when the annotated hash of what was
//! applied matches and the live values of our fields do; then nothing is written. So what others
//! change of ours is repaired at once, and what they add stays.

use std::fmt::Debug;
use std::marker::PhantomData;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::build::{Applied, Children, Migration, Prepared};
use super::credentials;
use super::equality::covers;
use super::names::{APPLIED_HASH, MANAGER};
use super::observe::Observed;

/// Why objects could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refuses an object: a quota, a policy, a value it does not take.
    #[error("Kubernetes refuses the {kind} {name}: {message}")]
    Refused {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
        /// What the API server says.
        message: String,
    },
    /// Somebody else wrote at the same moment, or the API server cannot be reached: try again.
    #[error("cannot write the {kind} {name}: {source}")]
    Unavailable {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
        /// What went wrong.
        source: kube::Error,
    },
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

/// Writes what differs between `children` and what was `observed`, in an order in which each object
/// finds what it needs, and removes what is no longer wanted.
pub async fn apply(
    client: &Client,
    namespace: &str,
    children: Children<Prepared>,
    observed: &Observed,
) -> Result<Children<Applied>, Error> {
    let writer = Writer { client, namespace };
    // No `..`: a child that is added to the struct cannot be forgotten here.
    let Children {
        credentials,
        admin_key,
        volume,
        postgres_service,
        postgres,
        api_service,
        migration: Migration { next, job, obsolete },
        api,
        state: PhantomData,
    } = children;
    let credentials = writer.apply(credentials, observed.credentials.as_ref()).await?;
    let admin_key = writer.apply(admin_key, observed.admin_key.as_ref()).await?;
    let volume = writer.apply(volume, observed.volume.as_ref()).await?;
    let postgres_service =
        writer.apply(postgres_service, observed.postgres_service.as_ref()).await?;
    let postgres = writer.apply(postgres, observed.postgres.as_ref()).await?;
    let api_service = writer.apply(api_service, observed.api_service.as_ref()).await?;
    let job = match job {
        Some(job) => {
            let live = observed.jobs.iter().find(|live| live.name_any() == job.name_any());
            Some(writer.apply(job, live).await?)
        }
        None => None,
    };
    let api = match api {
        Some(api) => Some(writer.apply(api, observed.api.as_ref()).await?),
        None => None,
    };
    for name in &obsolete {
        writer.delete::<Job>(name).await?;
    }
    Ok(Children {
        credentials,
        admin_key,
        volume,
        postgres_service,
        postgres,
        api_service,
        migration: Migration { next, job, obsolete },
        api,
        state: PhantomData,
    })
}

struct Writer<'a> {
    client: &'a Client,
    namespace: &'a str,
}

impl Writer<'_> {
    /// Makes the live object have all that `wanted` says. Writes nothing when it does already.
    async fn apply<K>(&self, wanted: K, live: Option<&K>) -> Result<K, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let name = wanted.name_any();
        let kind = K::kind(&()).into_owned();
        let json = |source| Error::Json { kind: kind.clone(), name: name.clone(), source };
        let mut patch = hashed(serde_json::to_value(&wanted).map_err(json)?);
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
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        let mut applied = api.patch(&name, &params, &Patch::Apply(&patch)).await;
        if live.is_some() && applied.as_ref().is_err_and(is_contradiction) {
            applied = replace_lists(&api, &name, &patch, &params).await;
        }
        applied.map_err(|error| refused_or_unavailable(kind, name, error))
    }

    async fn delete<K>(&self, name: &str) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let kind = K::kind(&()).into_owned();
        tracing::info!(kind, name, namespace = self.namespace, "deleting what is no longer wanted");
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        match api.delete(name, &DeleteParams::background()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(refused_or_unavailable(kind, name.to_owned(), error)),
        }
    }
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
    let hash = credentials::hash([object.to_string().as_str()]);
    object["metadata"]["annotations"][APPLIED_HASH] = json!(hash);
    object
}

fn refused_or_unavailable(kind: String, name: String, error: kube::Error) -> Error {
    match error {
        // 401: our token; 409: somebody else wrote; 429: too many requests. These pass.
        kube::Error::Api(status)
            if (400..500).contains(&status.code) && !matches!(status.code, 401 | 409 | 429) =>
        {
            Error::Refused { kind, name, message: status.message }
        }
        source => Error::Unavailable { kind, name, source },
    }
}
