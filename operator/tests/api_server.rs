//! An API server in memory: it keeps objects, applies patches and remembers every write.
//!
//! It knows no schema and no defaults; it is there to see what the operator asks of it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value, json};

/// What was asked for, as a role would grant it: group, resource with its subresource, verb.
pub(crate) type Asked = (String, String, &'static str);

/// The server; cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct ApiServer {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    /// What was last applied to each.
    applied: BTreeMap<String, Value>,
    /// The last patch of each.
    patches: BTreeMap<String, Value>,
    writes: Vec<String>,
    posted: Vec<Value>,
    refusals: BTreeMap<String, Value>,
    unreadable: BTreeMap<String, Value>,
    asked: BTreeSet<Asked>,
    made: u64,
}

impl ApiServer {
    /// A client of this server.
    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "agents")
    }

    /// Puts an object at its path, for example `apps/v1/deployments/memory-api`.
    pub(crate) fn put(&self, path: &str, mut object: Value) {
        let mut state = self.state.lock().unwrap();
        if object["metadata"].get("uid").is_none() {
            state.made += 1;
            object["metadata"]["uid"] = json!(format!("uid-{}", state.made));
        }
        state.objects.insert(path.into(), object);
    }

    /// The object at `path`.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(path).cloned()
    }

    /// Merges `change` into the object at `path`, as a controller or a hand would.
    pub(crate) fn change(&self, path: &str, change: &Value) {
        let mut state = self.state.lock().unwrap();
        merge(state.objects.get_mut(path).unwrap(), change);
    }

    /// Removes the object at `path`.
    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().unwrap().objects.remove(path).unwrap();
    }

    /// Lets somebody else own all of the object at `path` as well: an apply that leaves some of it out takes nothing away.
    pub(crate) fn share(&self, path: &str) {
        self.state.lock().unwrap().applied.remove(path).unwrap();
    }

    /// Refuses writes to `path` from now on, with this status code and message.
    pub(crate) fn refuse(&self, path: &str, code: u16, message: &str) {
        self.refuse_with(path, json!({"code": code, "message": message}));
    }

    /// Refuses writes to `path` no longer.
    pub(crate) fn allow(&self, path: &str) {
        self.state.lock().unwrap().refusals.remove(path).unwrap();
    }

    /// Refuses writes to `path` as a namespace does that is being deleted.
    pub(crate) fn refuse_as_its_namespace_ends(&self, path: &str) {
        let causes = json!([{"reason": "NamespaceTerminating", "message": "being terminated"}]);
        let message = "unable to create new content in namespace agents";
        self.refuse_with(
            path,
            json!({"code": 403, "message": message, "details": {"causes": causes}}),
        );
    }

    /// Refuses reads of `path` from now on, with this status code and message.
    pub(crate) fn refuse_read(&self, path: &str, code: u16, message: &str) {
        let status = refusal(json!({"code": code, "message": message}));
        self.state.lock().unwrap().unreadable.insert(path.into(), status);
    }

    fn refuse_with(&self, path: &str, status: Value) {
        self.state.lock().unwrap().refusals.insert(path.into(), refusal(status));
    }

    /// The writes since the last call, as `METHOD path`.
    pub(crate) fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().writes)
    }

    /// The last patch of the object at `path`, or of its status.
    pub(crate) fn patch(&self, path: &str) -> Value {
        self.state.lock().unwrap().patches[path].clone()
    }

    /// All that was ever posted: Events.
    pub(crate) fn posted(&self) -> Vec<Value> {
        self.state.lock().unwrap().posted.clone()
    }

    /// All that was ever asked for.
    pub(crate) fn asked(&self) -> BTreeSet<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// The paths of all objects of a collection, for example `batch/v1/jobs`.
    pub(crate) fn names(&self, collection: &str) -> Vec<String> {
        let prefix = format!("{collection}/");
        let state = self.state.lock().unwrap();
        state.objects.keys().filter_map(|p| p.strip_prefix(&prefix)).map(str::to_owned).collect()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let path = short(parts.uri.path());
        let query = parts.uri.query().unwrap_or_default();
        self.note(&parts.method, &path, query);
        if query.contains("watch=true") {
            // Nothing ever happens.
            return std::future::pending().await;
        }
        let (status, answer) = match parts.method {
            Method::GET => self.read(&path, query),
            method => {
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let content = parts.headers.get("content-type").map(|of| of.to_str().unwrap());
                let is_apply = content.is_some_and(|of| of.contains("apply"));
                self.write(&method, &path, query, &body, is_apply)
            }
        };
        Response::builder()
            .status(status)
            .body(Body::from(answer.to_string().into_bytes()))
            .unwrap()
    }

    fn note(&self, method: &Method, path: &str, query: &str) {
        let mut state = self.state.lock().unwrap();
        let Path { group, resource, name } = Path::of(path);
        let mut note = |verb| state.asked.insert((group.into(), resource.clone(), verb));
        match *method {
            Method::GET if query.contains("watch=true") => note("watch"),
            Method::GET if name.is_none() => note("list"),
            Method::GET => note("get"),
            Method::POST => note("create"),
            Method::DELETE => note("delete"),
            _ => note("patch"),
        };
        // An apply of what is not there makes it, which a role has to grant as well.
        if *method == Method::PATCH && !resource.contains('/') && !state.objects.contains_key(path)
        {
            state.asked.insert((group.into(), resource, "create"));
        }
    }

    fn read(&self, path: &str, query: &str) -> (StatusCode, Value) {
        let state = self.state.lock().unwrap();
        if let Some(refusal) = state.unreadable.get(path) {
            return (code_of(refusal), refusal.clone());
        }
        if let Some(object) = state.objects.get(path) {
            return (StatusCode::OK, object.clone());
        }
        if Path::of(path).name.is_some() {
            return not_found(path);
        }
        let query = query.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
        let labels = query.split('&').find_map(|part| part.strip_prefix("labelSelector="));
        let field =
            query.split("involvedObject.name=").nth(1).and_then(|rest| rest.split('&').next());
        let name = query.split("metadata.name=").nth(1).and_then(|rest| rest.split('&').next());
        let matches = |object: &Value| {
            labels.unwrap_or_default().split(',').filter(|l| !l.is_empty()).all(|label| {
                let (key, value) = label.split_once('=').unwrap();
                object["metadata"]["labels"][key] == value
            }) && name.is_none_or(|name| object["metadata"]["name"] == name)
                && field.is_none_or(|name| object["involvedObject"]["name"] == name)
        };
        let prefix = format!("{path}/");
        let of_it = state.objects.iter().filter(|(p, _)| p.starts_with(&prefix));
        let items: Vec<_> = of_it.map(|(_, o)| o).filter(|o| matches(o)).cloned().collect();
        (
            StatusCode::OK,
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}),
        )
    }

    fn write(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        body: &Value,
        is_apply: bool,
    ) -> (StatusCode, Value) {
        let mut state = self.state.lock().unwrap();
        state.writes.push(format!("{method} {path}"));
        if let Some(refusal) = state.refusals.get(path) {
            return (code_of(refusal), refusal.clone());
        }
        match *method {
            Method::POST => {
                state.posted.push(body.clone());
                (StatusCode::CREATED, body.clone())
            }
            Method::DELETE => match state.objects.get_mut(path) {
                Some(object) if is_held(object) => {
                    let at = jiff::Timestamp::now().to_string();
                    merge(object, &json!({"metadata": {"deletionTimestamp": at}}));
                    (StatusCode::OK, object.clone())
                }
                Some(_) => (StatusCode::OK, state.objects.remove(path).unwrap()),
                None => not_found(path),
            },
            _ if path.ends_with("/scale") => {
                let Some(object) = state.objects.get_mut(path.trim_end_matches("/scale")) else {
                    return not_found(path);
                };
                let replicas = json!({"replicas": body["spec"]["replicas"]});
                // The definition of the kind says where its number is.
                let is_ours = path.starts_with("agentfs.io/");
                let spec = if is_ours { json!({"api": replicas}) } else { replicas };
                merge(object, &json!({"spec": spec}));
                let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
                                   "metadata": {}, "spec": body["spec"]});
                (StatusCode::OK, scale)
            }
            _ => {
                let path = path.strip_suffix("/status").unwrap_or(path);
                let applies = query.contains("fieldManager");
                if !state.objects.contains_key(path) {
                    if !applies || body["metadata"].get("uid").is_some() {
                        return not_found(path);
                    }
                    state.made += 1;
                    let uid = format!("uid-{}", state.made);
                    state.objects.insert(path.into(), json!({"metadata": {"uid": uid}}));
                }
                let before =
                    if is_apply { state.applied.insert(path.into(), body.clone()) } else { None };
                let object = state.objects.get_mut(path).unwrap();
                for key in ["uid", "resourceVersion"] {
                    let wanted = body["metadata"].get(key);
                    if wanted.is_some_and(|wanted| *wanted != object["metadata"][key]) {
                        return (
                            StatusCode::CONFLICT,
                            json!({"kind": "Status", "apiVersion": "v1",
                            "status": "Failure", "code": 409, "reason": "Conflict", "message": key}),
                        );
                    }
                }
                state.patches.insert(path.into(), body.clone());
                let object = state.objects.get_mut(path).unwrap();
                if let Some(before) = before {
                    withdraw(object, &before, body);
                }
                merge(object, body);
                let object = object.clone();
                if object["metadata"].get("deletionTimestamp").is_some() && !is_held(&object) {
                    state.objects.remove(path);
                }
                (StatusCode::OK, object)
            }
        }
    }
}

/// Whether an object has finalizers, so that it stays for now when it is deleted.
fn is_held(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
}

fn refusal(mut status: Value) -> Value {
    let failure =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden"});
    merge(&mut status, &failure);
    status
}

fn code_of(status: &Value) -> StatusCode {
    StatusCode::from_u16(u16::try_from(status["code"].as_u64().unwrap()).unwrap()).unwrap()
}

fn not_found(path: &str) -> (StatusCode, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                        "reason": "NotFound", "message": format!("{path} not found")});
    (StatusCode::NOT_FOUND, status)
}

/// The parts of `apps/v1/deployments/memory-api/scale`.
struct Path<'a> {
    group: &'a str,
    /// With its subresource.
    resource: String,
    name: Option<&'a str>,
}

impl<'a> Path<'a> {
    fn of(path: &'a str) -> Self {
        let (group, rest) =
            if path.starts_with("v1/") { ("", path) } else { path.split_once('/').unwrap() };
        // What comes first is the version.
        let rest = rest.split_once('/').unwrap().1;
        let mut parts = rest.splitn(3, '/');
        let resource = parts.next().unwrap();
        let name = parts.next();
        let resource = parts.next().map_or(resource.to_owned(), |sub| format!("{resource}/{sub}"));
        Self { group, resource, name }
    }
}

/// `/apis/apps/v1/namespaces/agents/deployments/x` as `apps/v1/deployments/x`.
fn short(path: &str) -> String {
    let path = path.trim_start_matches("/apis/").trim_start_matches("/api/");
    path.replace("/namespaces/agents", "")
}

/// Takes away what was applied `before` and is no longer.
fn withdraw(object: &mut Value, before: &Value, now: &Value) {
    let (Some(object), Some(before)) = (object.as_object_mut(), before.as_object()) else { return };
    for (key, was) in before {
        match (now.get(key), object.get_mut(key)) {
            (None, _) => drop(object.remove(key)),
            (Some(now), Some(field)) => withdraw(field, was, now),
            (Some(_), None) => {}
        }
    }
}

/// A merge patch, with lists of named elements merged by name.
fn merge(target: &mut Value, patch: &Value) {
    match patch {
        Value::Object(patch) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            let target = target.as_object_mut().unwrap();
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(key);
                } else {
                    merge(target.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        other => *target = other.clone(),
    }
}
