//! A namespace of a test's own.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Failure;
use crate::kubectl::{at_last, condition, eventually, is_current, kubectl, with_input};

/// The spec of an AgentFS of one pod a part, without backups.
pub const ONE_POD_EACH: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api: {replicas: 1}
  pooler: {replicas: 1}
  backup: {enabled: false}
";

/// A namespace that enforces the restricted Pod Security Standard; removed when the test is over, whatever became of it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one.
    pub async fn create() -> Result<Self, Failure> {
        let namespace = Self { name: format!("e2e-{}", &Uuid::new_v4().simple().to_string()[..8]) };
        namespace.make().await?;
        Ok(namespace)
    }

    /// Deletes it with all that is in it, and makes it anew, by the same name.
    pub async fn make_anew(&self) -> Result<(), Failure> {
        let delete = ["delete", "namespace", &self.name, "--wait=false"];
        kubectl(&delete).await?;
        let get = ["get", "namespace", &self.name, "--ignore-not-found", "-o", "name"];
        let there = async || kubectl(&get).await;
        eventually("the namespace is gone", there, String::is_empty).await?;
        self.make().await
    }

    async fn make(&self) -> Result<(), Failure> {
        kubectl(&["create", "namespace", &self.name]).await?;
        let label = "pod-security.kubernetes.io/enforce=restricted";
        kubectl(&["label", "namespace", &self.name, label]).await?;
        // Without it no pod can be made.
        let account = async || self.object("serviceaccount", "default").await;
        eventually("the namespace has its service account", account, |_| true).await.map(drop)
    }

    /// Makes one with the AgentFS `memory` of `spec`, and waits until that is Ready.
    pub async fn with_memory(spec: &str) -> Result<Self, Failure> {
        let namespace = Self::create().await?;
        namespace.agentfs("memory", spec).await?;
        namespace.ready("memory").await?;
        Ok(namespace)
    }

    /// kubectl in this namespace.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String, Failure> {
        kubectl(&[&["--namespace", &self.name], arguments].concat()).await
    }

    /// Applies a manifest in this namespace.
    pub async fn apply(&self, manifest: &str) -> Result<String, Failure> {
        with_input(&["--namespace", &self.name, "apply", "-f", "-"], manifest).await
    }

    /// Applies an AgentFS; `spec` are the lines below its `spec:`.
    pub async fn agentfs(&self, name: &str, spec: &str) -> Result<(), Failure> {
        self.apply(&agentfs(name, spec)).await.map(drop)
    }

    /// Merges fields into the spec of an AgentFS.
    pub async fn change_spec(&self, name: &str, spec: &Value) -> Result<(), Failure> {
        let patch = json!({"spec": spec}).to_string();
        self.kubectl(&["patch", "agentfs", name, "--type=merge", "-p", &patch]).await.map(drop)
    }

    /// An object as JSON.
    pub async fn object(&self, kind: &str, name: &str) -> Result<Value, Failure> {
        Ok(serde_json::from_str(&self.kubectl(&["get", kind, name, "-o", "json"]).await?)?)
    }

    /// Deletes an object that the operator keeps, and waits until it is made again.
    pub async fn comes_back(&self, kind: &str, name: &str) -> Result<(), Failure> {
        let uid = async || Ok(self.object(kind, name).await?["metadata"]["uid"].take());
        let before = uid().await?;
        self.kubectl(&["delete", kind, name, "--wait=false"]).await?;
        eventually(&format!("{kind}/{name} comes back"), uid, |now| *now != before).await.map(drop)
    }

    /// Deletes the migration of the AgentFS `memory` and those children, one after the other; all come back.
    pub async fn children_come_back(&self, children: &[(&str, &str)]) -> Result<(), Failure> {
        let job = ["get", "job", "-o", "jsonpath={.items[0].metadata.name}"];
        let job = self.kubectl(&job).await?;
        for (kind, name) in [("job", job.as_str())].iter().chain(children) {
            self.comes_back(kind, name).await?;
        }
        self.ready("memory").await.map(drop)
    }

    /// Waits until there is no such object.
    pub async fn gone(&self, kind: &str, name: &str) -> Result<(), Failure> {
        let get =
            async || self.kubectl(&["get", kind, name, "--ignore-not-found", "-o", "name"]).await;
        eventually(&format!("{kind}/{name} is gone"), get, String::is_empty).await.map(drop)
    }

    /// Waits until the AgentFS is Ready for its present generation.
    pub async fn ready(&self, name: &str) -> Result<Value, Failure> {
        let get = async || self.object("agentfs", name).await;
        let ready =
            |object: &Value| is_current(object) && condition(object, "Ready") == Some("True");
        eventually(&format!("AgentFS {name} is Ready"), get, ready).await
    }

    /// What a statement answers, asked in the pod of the embedded database of `agentfs`.
    pub async fn sql(
        &self,
        agentfs: &str,
        database: &str,
        statement: &str,
    ) -> Result<String, Failure> {
        let pod = format!("{agentfs}-postgres-0");
        let psql =
            ["exec", &pod, "--", "psql", "-U", "postgres", "-d", database, "-Atc", statement];
        Ok(self.kubectl(&psql).await?.trim().to_owned())
    }

    /// Makes a database for an AgentFS, in the embedded one of `agentfs`.
    pub async fn new_database(&self, agentfs: &str, database: &str) -> Result<(), Failure> {
        let create = format!("CREATE DATABASE {database} OWNER agentfs");
        self.sql(agentfs, "postgres", &create).await?;
        self.sql(agentfs, database, "CREATE EXTENSION vector").await.map(drop)
    }

    /// An entry of a Secret.
    pub async fn secret(&self, name: &str, key: &str) -> Result<String, Failure> {
        let template = format!("go-template={{{{ .data.{key} | base64decode }}}}");
        self.kubectl(&["get", "secret", name, "-o", &template]).await
    }

    /// The namespace's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let delete = ["delete", "namespace", &self.name, "--ignore-not-found", "--wait=false"];
        at_last(&delete, &format!("namespace {} is left behind", self.name));
    }
}

/// The manifest of an AgentFS; `spec` are the lines below its `spec:`.
pub fn agentfs(name: &str, spec: &str) -> String {
    format!(
        "
apiVersion: agentfs.io/v1alpha1
kind: AgentFS
metadata: {{name: {name}}}
spec:
{spec}"
    )
}
