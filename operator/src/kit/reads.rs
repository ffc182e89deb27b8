//! Reads of the objects that belong to one resource.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use futures::future::try_join_all;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use super::labels::managed_for;
use super::ownership::{Owner, is_of};

/// Every object that can be read here: it has a namespace and a type known at compile time.
pub trait Readable:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug
{
}

impl<K> Readable for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
{
}

/// Reads what belongs to one owner, from the API server and not from a cache.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    client: &'a Client,
    owner: &'a Owner,
}

impl<'a> Reader<'a> {
    /// A reader of what belongs to `owner`.
    pub fn new(client: &'a Client, owner: &'a Owner) -> Self {
        Self { client, owner }
    }

    /// The owner of what it reads.
    pub fn owner(&self) -> &'a Owner {
        self.owner
    }

    /// The object `name`, whosever it is.
    pub async fn get<K: Readable>(&self, name: String) -> Result<Option<K>, kube::Error> {
        self.api::<K>().get_opt(&name).await
    }

    /// Those of the named objects that are there.
    pub async fn get_all<'n, K: Readable>(
        &self,
        names: impl Iterator<Item = &'n str>,
    ) -> Result<BTreeMap<String, K>, kube::Error> {
        let names: BTreeSet<String> = names.map(str::to_owned).collect();
        let found = try_join_all(names.into_iter().map(|name| async {
            let object = self.get::<K>(name.clone()).await?;
            Ok::<_, kube::Error>(object.map(|object| (name, object)))
        }));
        Ok(found.await?.into_iter().flatten().collect())
    }

    /// The objects with the labels of the owner's.
    pub async fn labelled<K: Readable>(&self) -> Result<Vec<K>, kube::Error> {
        let Owner { kind, name, .. } = self.owner;
        let mut objects = self.list::<K>(ListParams::default().labels(&managed_for(name))).await?;
        objects.retain(|object| is_of(object, kind, name));
        Ok(objects)
    }

    /// All objects of the namespace.
    pub async fn all<K: Readable>(&self) -> Result<Vec<K>, kube::Error> {
        self.list(ListParams::default()).await
    }

    /// The objects of the namespace that `params` ask for.
    pub async fn list<K: Readable>(&self, params: ListParams) -> Result<Vec<K>, kube::Error> {
        Ok(self.api::<K>().list(&params).await?.items)
    }

    /// The objects of that name, of which there is at most one: with no right but to list them.
    pub async fn named<K: Readable>(&self, name: &str) -> Result<Vec<K>, kube::Error> {
        self.list(ListParams::default().fields(&format!("metadata.name={name}"))).await
    }

    /// The StorageClass of that name, which belongs to the cluster.
    pub async fn class(&self, name: &str) -> Result<Option<StorageClass>, kube::Error> {
        if name.is_empty() {
            return Ok(None);
        }
        Api::all(self.client.clone()).get_opt(name).await
    }

    fn api<K: Readable>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.owner.namespace)
    }
}

/// Awaits reads all at once, each for the field that it is named after: a reconcile takes as long as
/// the slowest answer, and not as long as all of them.
macro_rules! read {
    ($type:ident { $($field:ident: $read:expr),+ $(,)? }) => {{
        let ($($field,)+) = tokio::try_join!($($read),+)?;
        $type { $($field),+ }
    }};
}
pub(crate) use read;
