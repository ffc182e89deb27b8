//! An API server over HTTP that speaks as much as `kubectl agentfs` asks: it keeps objects, names new ones, and lets their status
//! go on with each look at them.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as With;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

/// The program under test.
pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-agentfs");

/// The server, and a kubeconfig that leads to it. Its namespace is `agents`.
pub(super) struct Server {
    state: Arc<Mutex<State>>,
    pub(super) home: TempDir,
}

/// Plural, namespace and name.
type Key = (String, String, String);

#[derive(Default)]
struct State {
    kinds: Vec<String>,
    objects: BTreeMap<Key, Value>,
    /// By plural: what the status of a created object becomes with each look at it.
    to_come: BTreeMap<String, VecDeque<Value>>,
    created: Vec<Value>,
    refusals: BTreeMap<String, (u16, String)>,
    impersonated: Vec<String>,
}

impl Server {
    /// A server with the operator's kinds and the AgentFS `memory`.
    pub(super) async fn start() -> Self {
        let server = Self::without_kinds().await;
        let kinds = ["agentfses", "agentfsbackups", "agentfsrestores", "agentfsdrills"];
        server.lock().kinds.extend(kinds.map(str::to_owned));
        server.put("agentfses", "memory", json!({"kind": "AgentFS", "apiVersion": "agentfs.io/v1alpha1",
            "spec": {"database": {"embedded": {}}},
            "status": {"ofTomorrow": "kept", "conditions": [{"type": "Ready", "status": "True", "reason": "Settled",
                "message": "All is well.", "lastTransitionTime": "2026-11-01T00:00:00Z"}]}}));
        server
    }

    /// A server that has what every Kubernetes has.
    pub(super) async fn without_kinds() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let kinds = ["namespaces", "pods", "jobs", "cronjobs"].map(str::to_owned);
        state.lock().unwrap().kinds.extend(kinds);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let home = TempDir::new().unwrap();
        std::fs::write(home.path().join("config"), kubeconfig(&url)).unwrap();
        Self { state, home }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Puts an object into the namespace `agents`.
    pub(super) fn put(&self, plural: &str, name: &str, mut object: Value) {
        object["metadata"]["name"] = json!(name);
        object["metadata"]["namespace"] = json!("agents");
        object["metadata"]["uid"] = json!(format!("uid-of-{name}"));
        object["metadata"]["managedFields"] = json!([{"manager": "somebody"}]);
        let key = (plural.to_owned(), "agents".to_owned(), name.to_owned());
        self.lock().objects.insert(key, object);
    }

    /// What the status of an object of that kind becomes, once it is created, with each look at it.
    pub(super) fn then(&self, plural: &str, statuses: impl IntoIterator<Item = Value>) {
        self.lock().to_come.insert(plural.into(), statuses.into_iter().collect());
    }

    /// Refuses all that is asked of a kind.
    pub(super) fn refuse(&self, plural: &str, code: u16, message: &str) {
        self.lock().refusals.insert(plural.into(), (code, message.into()));
    }

    /// All that was created.
    pub(super) fn created(&self) -> Vec<Value> {
        self.lock().created.clone()
    }

    /// As whom somebody acted.
    pub(super) fn impersonated(&self) -> Vec<String> {
        self.lock().impersonated.clone()
    }

    /// Takes away all objects of a kind.
    pub(super) fn remove_all(&self, plural: &str) {
        self.lock().objects.retain(|(of, _, _), _| of != plural);
    }

    /// `kubectl agentfs` with these words.
    pub(super) fn command(&self, words: &str) -> Command {
        command(&self.home.path().join("config"), words)
    }

    /// Runs it to its end, without a terminal.
    pub(super) async fn run(&self, words: &str) -> Ran {
        ended(self.command(words).output()).await
    }

    /// Runs it on a terminal, where this is typed.
    pub(super) async fn run_on_terminal(&self, words: &str, typed: &str) -> Ran {
        use tokio::io::AsyncWriteExt as _;
        let mut command = Command::new("script");
        command.args([
            "--quiet",
            "--return",
            "--command",
            &format!("exec {PROGRAM} {words}"),
            "/dev/null",
        ]);
        command.env("KUBECONFIG", self.home.path().join("config")).env("COLUMNS", "80");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(typed.as_bytes()).await.unwrap();
        // What is typed ends with the program: an end of input would be typed as well.
        let ran = ended(child.wait_with_output()).await;
        drop(input);
        ran
    }
}

/// How it ended. One that waits for ever fails its test rather than hold up all.
async fn ended(output: impl Future<Output = std::io::Result<Output>>) -> Ran {
    let output = tokio::time::timeout(Duration::from_mins(2), output).await;
    Ran::of(output.unwrap().unwrap())
}

/// `kubectl agentfs` with these words and that kubeconfig.
pub(super) fn command(kubeconfig: &Path, words: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(words.split_whitespace());
    command.env("KUBECONFIG", kubeconfig).env("HOME", "/nonexistent");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// A kubeconfig below `folder` that leads to `url`.
pub(super) fn kubeconfig_at(folder: &Path, url: &str) -> PathBuf {
    let file = folder.join("config");
    std::fs::write(&file, kubeconfig(url)).unwrap();
    file
}

fn kubeconfig(url: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "ada", "namespace": "agents"}}],
        "users": [{"name": "ada", "user": {"token": "t"}}],
    })
    .to_string()
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Ran {
    pub(super) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

async fn answer(
    With(state): With<Arc<Mutex<State>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut state = state.lock().unwrap();
    let who =
        headers.get_all("impersonate-user").iter().chain(headers.get_all("impersonate-group"));
    let who: Vec<_> = who.map(|name| name.to_str().unwrap().to_owned()).collect();
    state.impersonated.extend(who);
    let parts: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let parts = if parts[0] == "api" { &parts[2..] } else { &parts[3..] };
    let (namespace, plural, name) = match *parts {
        ["namespaces", namespace, plural] => (Some(namespace), plural, None),
        ["namespaces", namespace, plural, name] => (Some(namespace), plural, Some(name)),
        [plural] => (None, plural, None),
        _ => panic!("{uri}"),
    };
    if !state.kinds.iter().any(|kind| kind == plural) {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    }
    if let Some((code, message)) = state.refusals.get(plural) {
        return status(*code, message, "");
    }
    let key =
        |name: &str| (plural.to_owned(), namespace.unwrap_or_default().to_owned(), name.to_owned());
    match (method, name) {
        (Method::GET, Some(name)) => {
            let next = state.to_come.get_mut(plural).and_then(VecDeque::pop_front);
            let Some(object) = state.objects.get_mut(&key(name)) else {
                return status(404, &format!("{plural} {name:?} not found"), name);
            };
            if let Some(next) = next {
                object["status"] = next;
            }
            axum::Json(object.clone()).into_response()
        }
        (Method::GET, None) => {
            let within = |of: &str| namespace.is_none_or(|namespace| namespace == of);
            let of_it = state.objects.iter().filter(|((p, of, _), _)| p == plural && within(of));
            let items: Vec<_> = of_it.map(|(_, object)| object.clone()).collect();
            axum::Json(json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}))
                .into_response()
        }
        (Method::POST, None) => {
            let mut object: Value = serde_json::from_slice(&body).unwrap();
            state.created.push(object.clone());
            let prefix = object["metadata"]["generateName"].as_str().unwrap();
            let name = format!("{prefix}7d2kq");
            object["metadata"]["name"] = json!(name);
            object["metadata"]["creationTimestamp"] = json!("2026-11-28T14:08:00Z");
            state.objects.insert(key(&name), object.clone());
            (StatusCode::CREATED, axum::Json(object)).into_response()
        }
        (method, _) => panic!("{method} {uri}"),
    }
}

fn status(code: u16, message: &str, name: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message,
        "details": {"name": name}});
    (StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
}
