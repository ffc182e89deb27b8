//! The API server: everything that is asked of it.

use std::fmt::Debug;
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Error as KubeError, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Asked, Error, is_missing_object};
use crate::crd::AgentFS;

/// A kind that the plugin reads.
pub(super) trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
{
}

/// An object: as it was sent, with fields of releases that this one does not know, and as this one reads it.
#[derive(Clone, Debug)]
pub(super) struct Found<K> {
    /// As it was sent.
    pub(super) raw: DynamicObject,
    /// As it is read.
    pub(super) it: K,
}

impl<K: Kind> Found<K> {
    /// Reads it.
    pub(super) fn read(raw: DynamicObject) -> Result<Self, Error> {
        let name = raw.metadata.name.clone().unwrap_or_default();
        let it = raw.clone().try_parse().map_err(|error| Error::Unreadable {
            kind: K::kind(&()).into_owned(),
            name,
            cause: std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string),
        })?;
        Ok(Self { raw, it })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.it.meta().name.as_deref().unwrap_or_default()
    }
}

/// The cluster, and a namespace of it.
#[derive(Clone)]
pub(super) struct Cluster {
    client: Client,
    url: String,
    /// The namespace.
    pub(super) namespace: String,
    limit: Option<Duration>,
    /// The flags that lead here, to be repeated in a command that is suggested: ` -n agents`.
    pub(super) flags: String,
}

impl Cluster {
    /// The cluster behind `client`, at `url`.
    pub(super) fn new(
        client: Client,
        url: String,
        namespace: String,
        limit: Option<Duration>,
        flags: String,
    ) -> Self {
        Self { client, url, namespace, limit, flags }
    }

    /// The object of that name, where there is one.
    pub(super) async fn get<K: Kind>(&self, name: &str) -> Result<Option<Found<K>>, Error> {
        match self.ask::<K, _>("get", self.api::<K>().get(name)).await {
            Ok(raw) => Found::read(raw).map(Some),
            Err(Answer::Missing) => Ok(None),
            Err(Answer::Error(error)) => Err(error),
        }
    }

    /// All of the namespace.
    pub(super) async fn list<K: Kind>(&self) -> Result<Vec<Found<K>>, Error> {
        self.list_of(&self.api::<K>(), "").await
    }

    /// Those of the namespace with these labels, as a label selector.
    pub(super) async fn labelled<K: Kind>(&self, labels: &str) -> Result<Vec<Found<K>>, Error> {
        self.list_of(&self.api::<K>(), labels).await
    }

    /// All of the namespace that are of the AgentFS `name`, by what `of` says.
    pub(super) async fn list_for<K: Kind>(
        &self,
        name: &str,
        of: impl Fn(&K) -> &str,
    ) -> Result<Vec<Found<K>>, Error> {
        let mut found = self.list::<K>().await?;
        found.retain(|found| of(&found.it) == name);
        Ok(found)
    }

    /// Creates an object. Where it has no name, one is made of its `generateName`.
    pub(super) async fn create<K: Kind + Serialize>(&self, object: &K) -> Result<Found<K>, Error> {
        let unreadable =
            |error: serde_json::Error| Error::Local(format!("cannot write it: {error}"));
        let mut object = serde_json::to_value(object).map_err(unreadable)?;
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        let object: DynamicObject = serde_json::from_value(object).map_err(unreadable)?;
        let params =
            PostParams { field_manager: Some("kubectl-agentfs".into()), ..PostParams::default() };
        let api = self.api::<K>();
        let made = self.ask::<K, _>("create", api.create(&params, &object)).await;
        match made {
            Ok(raw) => Found::read(raw),
            Err(Answer::Missing) => Err(Error::NotInstalled { kind: K::kind(&()).into_owned() }),
            Err(Answer::Error(error)) => Err(error),
        }
    }

    /// The AgentFS of that name, or an error that tells which ones there are.
    pub(super) async fn agentfs(&self, name: &str) -> Result<Found<AgentFS>, Error> {
        if let Some(found) = self.get(name).await? {
            return Ok(found);
        }
        let names =
            |found: Vec<Found<AgentFS>>| found.iter().map(|one| one.name().to_owned()).collect();
        let here: Vec<String> = self.list().await.map(names).unwrap_or_default();
        let everywhere = Api::all_with(self.client.clone(), &ApiResource::erase::<AgentFS>(&()));
        // Not everybody may look there.
        let elsewhere = if here.is_empty() {
            self.list_of::<AgentFS>(&everywhere, "").await.unwrap_or_default()
        } else {
            Vec::new()
        };
        let elsewhere = elsewhere.iter().map(|one| {
            let namespace = one.it.metadata.namespace.as_deref().unwrap_or_default();
            format!("{} in namespace {namespace}", one.name())
        });
        Err(Error::NoSuchAgentFS {
            name: name.into(),
            namespace: self.namespace.clone(),
            hint: which_there_are(&here, &elsewhere.collect::<Vec<_>>()),
        })
    }

    /// The names of all objects of a kind that belong to no namespace.
    pub(super) async fn names_everywhere<K>(&self) -> Vec<String>
    where
        K: Resource<DynamicType = ()>,
    {
        let api =
            Api::<DynamicObject>::all_with(self.client.clone(), &ApiResource::erase::<K>(&()));
        let found = api.list(&ListParams::default()).await;
        found
            .map(|list| list.items.into_iter().filter_map(|one| one.metadata.name).collect())
            .unwrap_or_default()
    }

    fn api<K: Kind>(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<K>(&());
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    async fn list_of<K: Kind>(
        &self,
        api: &Api<DynamicObject>,
        labels: &str,
    ) -> Result<Vec<Found<K>>, Error> {
        let params = ListParams::default().labels(labels);
        match self.ask::<K, _>("list", api.list(&params)).await {
            Ok(list) => list.items.into_iter().map(Found::read).collect(),
            Err(Answer::Missing) => Err(Error::NotInstalled { kind: K::kind(&()).into_owned() }),
            Err(Answer::Error(error)) => Err(error),
        }
    }

    async fn ask<K: Kind, T>(
        &self,
        verb: &'static str,
        request: impl Future<Output = Result<T, KubeError>>,
    ) -> Result<T, Answer> {
        let answer = match self.limit {
            Some(limit) => tokio::time::timeout(limit, request).await.map_err(|_| {
                let cause =
                    format!("no answer within {} s (--request-timeout)", limit.as_secs_f64());
                Error::Unreachable { url: self.url.clone(), cause }
            }),
            None => Ok(request.await),
        };
        match answer.map_err(Answer::Error)? {
            Err(KubeError::Api(status)) if is_missing_object(&status) => Err(Answer::Missing),
            Err(error) => {
                let (kind, plural, group) = (K::kind(&()), K::plural(&()), K::group(&()));
                let resource = if group.is_empty() {
                    plural.into_owned()
                } else {
                    format!("{plural}.{group}")
                };
                let asked = Asked {
                    verb,
                    kind: &kind,
                    resource: &resource,
                    namespace: &self.namespace,
                    url: &self.url,
                };
                Err(Answer::Error(Error::of(&error, asked)))
            }
            Ok(answer) => Ok(answer),
        }
    }
}

/// Why there is nothing.
enum Answer {
    /// There is no object of that name.
    Missing,
    /// Anything else.
    Error(Error),
}

fn which_there_are(here: &[String], elsewhere: &[String]) -> String {
    match (here, elsewhere) {
        ([], []) => "There is none; name another namespace with -n".into(),
        ([], elsewhere) => {
            format!("There is {}; name another namespace with -n", elsewhere.join(", "))
        }
        (here, _) => format!("There is {}", here.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_instead_is_told() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(which_there_are(&names(&["blue", "green"]), &[]), "There is blue, green");
        assert_eq!(
            which_there_are(&[], &names(&["memory in namespace agents"])),
            "There is memory in namespace agents; name another namespace with -n"
        );
    }
}
