//! An API server of Kubernetes, as far as records of backups need one: it speaks TLS, knows its pods by a token, gives lists by the
//! page, and keeps a status by server-side apply.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::s3_proxy::S3Proxy;

const PREFIX: &str = "/apis/agentfs.io/v1alpha1/namespaces/agents/";
/// Objects of a page, however many are asked for.
const PAGE: usize = 2;

/// The API server, and the account of a pod.
pub struct Kubernetes {
    account: TempDir,
    door: S3Proxy,
    state: Arc<Mutex<Cluster>>,
}

#[derive(Default)]
pub struct Cluster {
    token: String,
    objects: BTreeMap<(String, String), Value>,
    /// What a field manager said last of the status of an object.
    applied: BTreeMap<(String, String), Map<String, Value>>,
    made: u32,
    /// Method and path of each request.
    pub requests: Vec<String>,
    /// What it answers whatever it is asked.
    pub refusal: Option<StatusCode>,
}

impl Kubernetes {
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(Cluster::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().fallback(answer).with_state(state.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        let (door, certificate) = S3Proxy::of_tls(port).await;
        let account = TempDir::new().unwrap();
        fs::write(account.path().join("ca.crt"), certificate).unwrap();
        fs::write(account.path().join("namespace"), "agents").unwrap();
        let kubernetes = Self { account, door, state };
        kubernetes.rotate("first");
        kubernetes
    }

    /// Gives the pod another token, and takes no other.
    pub fn rotate(&self, token: &str) {
        fs::write(self.account.path().join("token"), format!("{token}\n")).unwrap();
        token.clone_into(&mut self.cluster().token);
    }

    /// The variables of a pod that keeps the records of the AgentFS memory.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        let endpoint = self.door.tls_endpoint();
        [
            ("KUBERNETES_SERVICE_HOST", "localhost".to_owned()),
            ("KUBERNETES_SERVICE_PORT", endpoint.rsplit(':').next().unwrap().to_owned()),
            ("AGENTFS_SERVICE_ACCOUNT", self.account.path().display().to_string()),
            ("AGENTFS_RECORDS_OF", "memory".to_owned()),
        ]
    }

    pub fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.state.lock().unwrap()
    }

    /// The objects of a resource, by name.
    pub fn objects(&self, plural: &str) -> Vec<Value> {
        let cluster = self.cluster();
        let ours = cluster.objects.iter().filter(|((of, _), _)| of == plural);
        ours.map(|(_, object)| object.clone()).collect()
    }

    pub fn backups(&self) -> Vec<Value> {
        self.objects("agentfsbackups")
    }

    /// Somebody asks for a backup of an AgentFS.
    pub fn ask_for_backup(&self, name: &str, agentfs: &str) {
        let object = json!({"kind": "AgentFSBackup", "metadata": {"name": name}, "spec": {"agentFS": agentfs, "scope": "Full"}});
        assert_eq!(self.cluster().create("agentfsbackups", object).status(), StatusCode::CREATED);
    }

    /// Everything is deleted.
    pub fn forget(&self) {
        self.cluster().objects.clear();
    }
}

async fn answer(
    State(state): State<Arc<Mutex<Cluster>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut cluster = state.lock().unwrap();
    cluster.requests.push(format!("{method} {uri}"));
    if let Some(status) = cluster.refusal {
        return refused(status, "agentfsbackups.agentfs.io is forbidden");
    }
    let of = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if of("authorization") != format!("Bearer {}", cluster.token) {
        return refused(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    let Some(path) = uri.path().strip_prefix(PREFIX) else {
        return refused(StatusCode::NOT_FOUND, "the server could not find the requested resource");
    };
    let parameter = |name: &str| {
        let pairs = uri.query().unwrap_or_default().split('&').filter_map(|p| p.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let is_ours = parameter("fieldManager").as_deref() == Some("agentfs-backup");
    let parts: Vec<&str> = path.split('/').collect();
    match (method.as_str(), &parts[..]) {
        ("GET", [plural]) => cluster.page(plural, &parameter("continue").unwrap_or_default()),
        ("GET", [plural, name]) => match cluster.objects.get(&key(plural, name)) {
            Some(object) => Json(object.clone()).into_response(),
            None => refused(StatusCode::NOT_FOUND, "not found"),
        },
        ("POST", [plural]) if is_ours && of("content-type") == "application/json" => {
            cluster.create(plural, body)
        }
        ("PATCH", [plural, name, "status"])
            if is_ours && of("content-type") == "application/apply-patch+yaml" =>
        {
            cluster.apply_status(plural, name, &body)
        }
        ("DELETE", [plural, name]) => cluster.delete(plural, name, &body["preconditions"]["uid"]),
        _ => refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "no such request"),
    }
}

impl Cluster {
    fn page(&self, plural: &str, after: &str) -> Response {
        let after = after.strip_prefix("after%2D").unwrap_or_default().replace("%2D", "-");
        let mut ours = self.objects.iter().filter(|((of, name), _)| of == plural && *name > after);
        let page: Vec<_> = ours.by_ref().take(PAGE).collect();
        let more = match page.last() {
            Some(((_, last), _)) if ours.next().is_some() => format!("after-{last}"),
            _ => String::new(),
        };
        let items: Vec<&Value> = page.into_iter().map(|(_, object)| object).collect();
        Json(json!({"kind": "List", "metadata": {"continue": more}, "items": items}))
            .into_response()
    }

    pub fn create(&mut self, plural: &str, mut object: Value) -> Response {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let is_named = (1..=52).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        let kinds = [("AgentFSBackup", "agentfsbackups"), ("AgentFSDrill", "agentfsdrills")];
        if !is_named || !kinds.contains(&(object["kind"].as_str().unwrap_or_default(), plural)) {
            return refused(StatusCode::UNPROCESSABLE_ENTITY, "the object is not valid");
        }
        if self.objects.contains_key(&key(plural, &name)) {
            return refused(StatusCode::CONFLICT, "already exists");
        }
        self.made += 1;
        object["metadata"]["uid"] = format!("uid-{}", self.made).into();
        self.objects.insert(key(plural, &name), object.clone());
        (StatusCode::CREATED, Json(object)).into_response()
    }

    fn apply_status(&mut self, plural: &str, name: &str, body: &Value) -> Response {
        let key = key(plural, name);
        let Some(object) = self.objects.get_mut(&key) else {
            return refused(StatusCode::NOT_FOUND, "not found");
        };
        if body["kind"] != object["kind"] || body["metadata"]["name"] != *name {
            return refused(StatusCode::BAD_REQUEST, "it is of another object");
        }
        let said = body["status"].as_object().cloned().unwrap_or_default();
        let mut status = object["status"].as_object().cloned().unwrap_or_default();
        for field in self.applied.insert(key, said.clone()).unwrap_or_default().keys() {
            status.remove(field);
        }
        status.extend(said);
        object["status"] = status.into();
        Json(object.clone()).into_response()
    }

    fn delete(&mut self, plural: &str, name: &str, uid: &Value) -> Response {
        match self.objects.get(&key(plural, name)) {
            None => refused(StatusCode::NOT_FOUND, "not found"),
            Some(object) if object["metadata"]["uid"] != *uid => {
                refused(StatusCode::CONFLICT, "it is another object")
            }
            Some(_) => {
                self.objects.remove(&key(plural, name));
                Json(json!({"kind": "Status", "status": "Success"})).into_response()
            }
        }
    }
}

fn key(plural: &str, name: &str) -> (String, String) {
    (plural.to_owned(), name.to_owned())
}

fn refused(status: StatusCode, message: &str) -> Response {
    let said = json!({"kind": "Status", "status": "Failure", "message": message});
    (status, Json(said)).into_response()
}
