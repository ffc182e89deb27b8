//! Backups, restores and drills that somebody asks for by a resource, and how they stand.

use std::fmt;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Failure;
use crate::kubectl::{condition, eventually, is_current, with_input};
use crate::namespace::Namespace;

/// A kind of what is carried out once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// AgentFSBackup.
    Backup,
    /// AgentFSRestore.
    Restore,
    /// AgentFSDrill.
    Drill,
}

impl Kind {
    /// The kind, as manifests name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Backup => "AgentFSBackup",
            Self::Restore => "AgentFSRestore",
            Self::Drill => "AgentFSDrill",
        }
    }

    /// What the names of its Jobs end in.
    pub fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Drill => "drill",
        }
    }
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// Where.
    pub namespace: &'a Namespace,
    /// What.
    pub kind: Kind,
    /// Its name.
    pub name: &'a str,
}

impl fmt::Display for Task<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} {}", self.kind.name(), self.name)
    }
}

impl<'a> Task<'a> {
    /// Asks for one of the AgentFS `memory`; `spec` is the rest of its spec.
    pub async fn create(
        namespace: &'a Namespace,
        kind: Kind,
        name: &'a str,
        spec: Value,
    ) -> Result<Self, Failure> {
        let task = Self { namespace, kind, name };
        let create = ["--namespace", namespace.name(), "create", "-f", "-"];
        with_input(&create, &task.manifest(spec)).await?;
        Ok(task)
    }

    /// The same, carried out: returns once it has succeeded.
    pub async fn done(
        namespace: &'a Namespace,
        kind: Kind,
        name: &'a str,
        spec: Value,
    ) -> Result<Value, Failure> {
        Self::create(namespace, kind, name, spec).await?.succeeded().await
    }

    /// Its manifest.
    pub fn manifest(&self, mut spec: Value) -> String {
        spec["agentFS"] = json!("memory");
        let metadata = json!({"name": self.name});
        json!({"apiVersion": "agentfs.io/v1alpha1", "kind": self.kind.name(), "metadata": metadata, "spec": spec})
            .to_string()
    }

    /// The name of its Job.
    pub fn job(&self) -> String {
        format!("{}-{}", self.name, self.kind.word())
    }

    /// As it stands now.
    pub async fn get(&self) -> Result<Value, Failure> {
        self.namespace.object(self.kind.name(), self.name).await
    }

    /// Waits until it has ended, well or not.
    pub async fn ended(&self) -> Result<Value, Failure> {
        let get = async || self.get().await;
        let ended =
            |object: &Value| object["status"]["finishedTime"].is_string() && is_current(object);
        eventually(&format!("{self} ends"), get, ended).await
    }

    /// Waits until it has ended; an error where that was not well.
    pub async fn succeeded(&self) -> Result<Value, Failure> {
        let object = self.ended().await?;
        if condition(&object, "Ready") == Some("True") {
            return Ok(object);
        }
        let logs = ["logs", "--tail=20", &format!("job/{}", self.job())];
        let logs = self.namespace.kubectl(&logs).await.unwrap_or_else(|error| error.to_string());
        Err(format!("{self} failed: {}\n{logs}", object["status"]).into())
    }

    /// Waits until it has failed, with all of `words` in the sentence; that.
    pub async fn failed(&self, words: &[&str]) -> Result<String, Failure> {
        let object = self.ended().await?;
        let (reason, sentence) = ready(&object);
        if condition(&object, "Ready") != Some("False")
            || condition(&object, "Stalled") != Some("True")
        {
            return Err(format!("{self} did not fail: {}", object["status"]).into());
        }
        eprintln!("{self} {reason}: {sentence}");
        match words.iter().find(|word| !sentence.contains(**word)) {
            Some(word) => Err(format!("{self} does not say {word:?}: {sentence}").into()),
            None => Ok(sentence),
        }
    }

    /// Deletes it, and waits until it is gone.
    pub async fn delete(&self) -> Result<(), Failure> {
        self.namespace.kubectl(&["delete", self.kind.name(), self.name]).await.map(drop)
    }

    /// Where the API server has it.
    pub fn path(&self) -> String {
        let (namespace, kind) = (self.namespace.name(), self.kind.name().to_lowercase());
        format!("/apis/agentfs.io/v1alpha1/namespaces/{namespace}/{kind}s/{}", self.name)
    }
}

/// Reason and message of the condition Ready.
pub fn ready(object: &Value) -> (String, String) {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.into_iter().find(|c| c["type"] == "Ready").unwrap_or_default();
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

/// What `kubectl get KIND -w` prints, from now on until this is dropped.
#[derive(Debug)]
pub struct Watched {
    _kubectl: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    /// Begins to watch.
    pub fn start(namespace: &Namespace, kind: &str) -> Result<Self, Failure> {
        let mut kubectl = Command::new("kubectl")
            .args(["--namespace", namespace.name(), "get", kind, "-w", "--no-headers"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = kubectl.stdout.take().ok_or("no standard output")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        tokio::spawn(async move {
            let mut printed = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = printed.next_line().await {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Ok(Self { _kubectl: kubectl, lines })
    }

    /// The lines on `name` so far.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = |line: &&String| line.split_whitespace().next() == Some(name);
        lines.iter().filter(of_it).cloned().collect()
    }

    /// Those of `words` that are in these lines, each once, in the order in which they came.
    pub fn seen<'a>(&self, name: &str, words: &[&'a str]) -> Vec<&'a str> {
        let mut seen = Vec::new();
        for line in self.lines(name) {
            let has = |word: &&&str| line.split_whitespace().any(|column| column == **word);
            for word in words.iter().filter(has) {
                if !seen.contains(word) {
                    seen.push(*word);
                }
            }
        }
        seen
    }
}
