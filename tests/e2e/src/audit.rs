//! What the operator asked of the API server, by the audit log of `tests/cluster`, which tells who asked for what and
//! keeps no contents.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use serde_json::Value;

use crate::Failure;
use crate::kubectl::kubectl;
use crate::node;

/// The operator's service account, as the API server knows it.
pub const OPERATOR: &str = "system:serviceaccount:agentfs-system:agentfs-operator";

/// One kind of request, as roles name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The API group; empty for the core.
    pub group: String,
    /// The resource, with its subresource where one is meant.
    pub resource: String,
    /// What is done with it.
    pub verb: String,
}

impl fmt::Display for Right {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, resource, verb } = self;
        let dot = if group.is_empty() { "" } else { "." };
        write!(to, "{verb} {resource}{dot}{group}")
    }
}

/// One request of the operator.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it asked for.
    pub right: Right,
    /// Of which object, or of which namespace's.
    pub object: String,
    /// The status that it was answered with.
    pub status: u64,
    /// Whether no role of the operator allows it. A namespace that is being deleted answers 403 as well.
    pub is_forbidden: bool,
}

impl Request {
    /// Whether it changes something.
    fn is_write(&self) -> bool {
        !matches!(self.right.verb.as_str(), "get" | "list" | "watch")
    }

    /// The rights that it used: a patch that makes an object needs both.
    fn used(&self) -> impl Iterator<Item = Right> {
        let created = self.right.verb == "patch" && self.status == 201;
        let create = created.then(|| Right { verb: "create".to_owned(), ..self.right.clone() });
        create.into_iter().chain([self.right.clone()])
    }
}

/// The log from a moment on.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    from: u64,
}

impl AuditLog {
    /// All of it.
    pub fn whole() -> Result<Self, Failure> {
        Ok(Self { path: node::file("audit.log")?, from: 0 })
    }

    /// What comes from now on.
    pub fn from_now() -> Result<Self, Failure> {
        let mut log = Self::whole()?;
        log.from = std::fs::metadata(&log.path)?.len();
        Ok(log)
    }

    /// What the operator asked, in order of the answers.
    pub fn requests(&self) -> Result<Vec<Request>, Failure> {
        let mut file = std::fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .filter(|line| line.contains(OPERATOR))
            .filter_map(|l| request(l).transpose())
            .collect()
    }

    /// How often the operator wrote its Lease, and what else it wrote.
    pub fn writes(&self) -> Result<(usize, Vec<Request>), Failure> {
        let written = self.requests()?.into_iter().filter(Request::is_write);
        let (leases, others): (Vec<_>, Vec<_>) =
            written.partition(|request| request.right.resource == "leases");
        Ok((leases.len(), others))
    }
}

/// A line of the log, where it is an answer to the operator.
fn request(line: &str) -> Result<Option<Request>, Failure> {
    let event: Value = serde_json::from_str(line)?;
    let is = |who: &str| event[who]["username"] == OPERATOR;
    // A watch that ends is told of a second time.
    let ends = event["verb"] == "watch" && event["stage"] == "ResponseComplete";
    let Some(of) =
        event.get("objectRef").filter(|_| (is("user") || is("impersonatedUser")) && !ends)
    else {
        return Ok(None);
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut resource = text(&of["resource"]);
    if let Some(subresource) = of["subresource"].as_str() {
        resource = format!("{resource}/{subresource}");
    }
    Ok(Some(Request {
        right: Right { group: text(&of["apiGroup"]), resource, verb: text(&event["verb"]) },
        object: format!("{}/{}", text(&of["namespace"]), text(&of["name"])),
        status: event["responseStatus"]["code"].as_u64().ok_or("an answer without a status")?,
        is_forbidden: event["annotations"]["authorization.k8s.io/decision"] == "forbid",
    }))
}

/// The rights that `requests` used.
pub fn used(requests: &[Request]) -> BTreeSet<Right> {
    let granted = requests.iter().filter(|request| !request.is_forbidden);
    granted.flat_map(Request::used).collect()
}

/// The rights that the cluster's roles give the operator.
pub async fn held() -> Result<BTreeSet<Right>, Failure> {
    let mut held = BTreeSet::new();
    let get = ["get", "clusterrolebindings,rolebindings", "--all-namespaces", "-o", "json"];
    let bindings: Value = serde_json::from_str(&kubectl(&get).await?)?;
    let is_operator = |subject: &Value| {
        subject["kind"] == "ServiceAccount"
            && subject["name"] == "agentfs-operator"
            && subject["namespace"] == "agentfs-system"
    };
    for binding in bindings["items"].as_array().into_iter().flatten() {
        let mut subjects = binding["subjects"].as_array().into_iter().flatten();
        if !subjects.any(is_operator) {
            continue;
        }
        let of = |field: &str| binding["roleRef"][field].as_str().unwrap_or_default();
        let namespace = binding["metadata"]["namespace"].as_str().unwrap_or("default");
        let get = ["--namespace", namespace, "get", of("kind"), of("name"), "-o", "json"];
        let role: Value = serde_json::from_str(&kubectl(&get).await?)?;
        for rule in role["rules"].as_array().into_iter().flatten() {
            held.extend(rights(rule));
        }
    }
    Ok(held)
}

/// The rights of one rule of a role.
fn rights(rule: &Value) -> Vec<Right> {
    let texts = |field: &str| {
        let values = rule[field].as_array().cloned().unwrap_or_default();
        values.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let (groups, resources, verbs) = (texts("apiGroups"), texts("resources"), texts("verbs"));
    let mut rights = Vec::new();
    for group in &groups {
        for resource in &resources {
            rights.extend(verbs.iter().map(|verb| Right {
                group: group.clone(),
                resource: resource.clone(),
                verb: verb.clone(),
            }));
        }
    }
    rights
}
