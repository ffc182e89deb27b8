//! A client of the API server of Kubernetes, by the account of this pod. It knows no kinds: objects are JSON.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentfs_contract::record::{API_VERSION, MANAGER};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::runtime::http_client::HttpClient;
use crate::runtime::https::connector_trusting;

/// Where Kubernetes puts the account of a pod.
const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Another folder, for tests.
const FOLDER_SETTING: &str = "AGENTFS_SERVICE_ACCOUNT";
const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer that is read.
const MAX_ANSWER: usize = 32 << 20;
/// Objects of a page.
const PAGE: usize = 250;
/// Most pages that are read.
const MAX_PAGES: usize = 200;
/// How often something is tried that may go well later.
const TRIES: u32 = 3;
/// Pause between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the API server was not asked, or did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// This is no pod.
    #[error("{0} is not set, as it is in each pod of Kubernetes")]
    NoPod(&'static str),
    /// The pod has no account.
    #[error(
        "the account of this pod cannot be used ({}: {error}); its ServiceAccount has to be mounted (automountServiceAccountToken)",
        .file.display()
    )]
    Account {
        /// The file of the account.
        file: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// Nobody answers.
    #[error("the API server of Kubernetes does not answer ({0})")]
    Silent(String),
    /// It refuses.
    #[error("the API server of Kubernetes refuses {what} with {status}: {said}")]
    Refused {
        /// The method and the path.
        what: String,
        /// The status.
        status: u16,
        /// Its sentence.
        said: String,
    },
    /// Something else answers.
    #[error(
        "what answers at {HOST} is no API server of Kubernetes: its answer to {0} is no object"
    )]
    NoObject(String),
    /// There are more than anybody has.
    #[error("there are more {0} in this namespace than are read")]
    TooMany(String),
}

impl KubernetesError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Silent(_) => true,
            Self::Refused { status, .. } => matches!(status, 409 | 410 | 429 | 500..),
            _ => false,
        }
    }

    /// The status of its answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A client of one namespace.
#[derive(Debug)]
pub struct Kubernetes {
    client: HttpClient,
    /// The address of the objects of our group in the namespace.
    url: String,
    folder: PathBuf,
}

impl Kubernetes {
    /// The API server of the cluster that this pod is in, and the namespace of the pod.
    pub fn of_pod() -> Result<Self, KubernetesError> {
        let variable = |name| env::var(name).map_err(|_| KubernetesError::NoPod(name));
        let (host, port) = (variable(HOST)?, variable(PORT)?);
        let folder = env::var_os(FOLDER_SETTING).map_or_else(|| FOLDER.into(), PathBuf::from);
        Self::new(&host, &port, folder)
    }

    /// The one at a host and port, by the account in a folder.
    pub fn new(host: &str, port: &str, folder: PathBuf) -> Result<Self, KubernetesError> {
        let file = folder.join("ca.crt");
        let connector =
            connector_trusting(&file).map_err(|error| KubernetesError::Account { file, error })?;
        let namespace = read(&folder.join("namespace"))?;
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Ok(Self {
            client: HttpClient::new(connector, PATIENCE, MAX_ANSWER),
            url: format!("https://{host}:{port}/apis/{API_VERSION}/namespaces/{namespace}"),
            folder,
        })
    }

    /// All objects of a resource.
    pub async fn list(&self, plural: &str) -> Result<Vec<Value>, KubernetesError> {
        let (mut objects, mut next) = (Vec::new(), String::new());
        for _ in 0..MAX_PAGES {
            let begin = utf8_percent_encode(&next, NON_ALPHANUMERIC);
            let path = format!("{plural}?limit={PAGE}&continue={begin}");
            let mut page = self.ask(Method::GET, &path, None).await?;
            match page["items"].take() {
                Value::Array(items) => objects.extend(items),
                _ => return Err(KubernetesError::NoObject(plural.to_owned())),
            }
            match page["metadata"]["continue"].as_str() {
                Some(more) if !more.is_empty() => more.clone_into(&mut next),
                _ => return Ok(objects),
            }
        }
        Err(KubernetesError::TooMany(plural.to_owned()))
    }

    /// One object.
    pub async fn get(&self, plural: &str, name: &str) -> Result<Value, KubernetesError> {
        self.ask(Method::GET, &format!("{plural}/{name}"), None).await
    }

    /// Makes an object.
    pub async fn create(&self, plural: &str, object: &Value) -> Result<(), KubernetesError> {
        let path = format!("{plural}?fieldManager={MANAGER}");
        self.ask(Method::POST, &path, Some(("application/json", object))).await?;
        Ok(())
    }

    /// Has the status of an object say this, whoever said it before, and no more what was said here before and is not in it.
    pub async fn apply_status(
        &self,
        (kind, plural): (&str, &str),
        name: &str,
        status: &Value,
    ) -> Result<(), KubernetesError> {
        let path = format!("{plural}/{name}/status?fieldManager={MANAGER}&force=true");
        let metadata = json!({ "name": name });
        let object = json!({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "status": status});
        // JSON is YAML.
        self.ask(Method::PATCH, &path, Some(("application/apply-patch+yaml", &object))).await?;
        Ok(())
    }

    /// Deletes an object, if it is this very one.
    pub async fn delete(&self, plural: &str, name: &str, uid: &str) -> Result<(), KubernetesError> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid},
        });
        let path = format!("{plural}/{name}");
        self.ask(Method::DELETE, &path, Some(("application/json", &options))).await?;
        Ok(())
    }

    /// The answer, tried a few times where that may help.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Value, KubernetesError> {
        for _ in 1..TRIES {
            match self.ask_once(&method, path, body).await {
                Err(error)
                    if error.is_transient() && !matches!(error.status(), Some(409 | 410)) =>
                {
                    sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
        self.ask_once(&method, path, body).await
    }

    async fn ask_once(
        &self,
        method: &Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Value, KubernetesError> {
        // Kubernetes replaces it while the pod runs.
        let file = self.folder.join("token");
        let bearer = HeaderValue::try_from(format!("Bearer {}", read(&file)?));
        let mut bearer = bearer.map_err(|_| KubernetesError::Account {
            file,
            error: io::ErrorKind::InvalidData.into(),
        })?;
        bearer.set_sensitive(true);
        let what = || format!("{method} {}", path.split('?').next().unwrap_or_default());
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.url))
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, "application/json");
        if let Some((content_type, _)) = body {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let body = body.map(|(_, object)| object.to_string()).unwrap_or_default();
        let request =
            request.body(body).map_err(|error| KubernetesError::Silent(error.to_string()))?;
        let (status, body) = self.client.ask(request).await.map_err(KubernetesError::Silent)?;
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        if status.is_success() {
            return answer.ok_or_else(|| KubernetesError::NoObject(what()));
        }
        Err(KubernetesError::Refused {
            what: what(),
            status: status.as_u16(),
            said: said(status, answer.as_ref()),
        })
    }
}

/// The sentence of a refusal.
fn said(status: StatusCode, answer: Option<&Value>) -> String {
    let message = answer.and_then(|answer| answer["message"].as_str());
    message.or(status.canonical_reason()).unwrap_or("no reason").to_owned()
}

/// A file of the account.
fn read(file: &Path) -> Result<String, KubernetesError> {
    let read = std::fs::read_to_string(file);
    let text = read.map_err(|error| KubernetesError::Account { file: file.to_owned(), error })?;
    Ok(text.trim().to_owned())
}
