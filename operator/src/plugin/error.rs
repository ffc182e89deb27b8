//! What can go wrong, each as a sentence that says what to do.

use kube::Error as KubeError;
use kube::core::Status;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// What was typed does not go together.
    #[error("{0}")]
    Usage(String),

    /// There is no kubeconfig, or it leads nowhere.
    #[error(
        "no cluster: {0}. Name a kubeconfig with --kubeconfig or KUBECONFIG, and a context of it with --context (kubectl config get-contexts lists them)"
    )]
    NoCluster(String),

    /// The API server does not answer.
    #[error(
        "cannot reach the cluster at {url}: {cause}. Check whether kubectl cluster-info reaches it"
    )]
    Unreachable {
        /// Where it should be.
        url: String,
        /// What went wrong.
        cause: String,
    },

    /// The API server knows nobody of that name and password.
    #[error(
        "the cluster does not know you: {0}. Log in again, or name another user with --user or --context"
    )]
    Unauthorized(String),

    /// The cluster does not know the kind.
    #[error(
        "the cluster has no kind {kind}: the AgentFS operator is not installed there, or an older one. Install or upgrade it with the chart agentfs-operator (docs/INSTALL.md), or name another cluster with --context"
    )]
    NotInstalled {
        /// The kind.
        kind: String,
    },

    /// There is no such AgentFS.
    #[error("there is no AgentFS {name} in namespace {namespace}. {hint}")]
    NoSuchAgentFS {
        /// The name that was given.
        name: String,
        /// Where it was looked for.
        namespace: String,
        /// Which ones there are.
        hint: String,
    },

    /// Something else that was named is not there, or not fit.
    #[error("{0}")]
    NotThere(String),

    /// A role lacks a right.
    #[error(
        "you may not {verb} {resource} in namespace {namespace}. Ask for a role with that right; this shows whether you have it: kubectl auth can-i {verb} {resource} -n {namespace}"
    )]
    Forbidden {
        /// What was tried, for example `create`.
        verb: &'static str,
        /// Of what, for example `agentfsrestores.agentfs.io`.
        resource: String,
        /// Where.
        namespace: String,
    },

    /// The API server refuses what was asked of it.
    #[error("the cluster refuses it: {0}")]
    Refused(String),

    /// The API server has a difficulty of its own.
    #[error("the cluster cannot do it now: {0}")]
    NotNow(String),

    /// An answer cannot be read.
    #[error(
        "the cluster's {kind} {name} cannot be read: {cause}. It is of another release: use the kubectl-agentfs of the operator's"
    )]
    Unreadable {
        /// The kind.
        kind: String,
        /// The name.
        name: String,
        /// What is wrong with it.
        cause: String,
    },

    /// What was asked for was tried, and failed.
    #[error("{what} failed: {message}")]
    Failed {
        /// Kind and name.
        what: String,
        /// Why, and what to do.
        message: String,
    },

    /// The answer to a question was no.
    #[error("nothing was done")]
    Declined,

    /// Ctrl-C ended the waiting.
    #[error("stopped waiting. {0}")]
    Interrupted(String),

    /// Something on this machine went wrong.
    #[error("{0}")]
    Local(String),
}

/// What was asked of the API server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// For example `create`.
    pub(super) verb: &'static str,
    /// The kind, for example `AgentFSRestore`.
    pub(super) kind: &'a str,
    /// The resource with its group, for example `agentfsrestores.agentfs.io`.
    pub(super) resource: &'a str,
    /// Where.
    pub(super) namespace: &'a str,
    /// Where the API server is.
    pub(super) url: &'a str,
}

impl Error {
    /// 1, or 2 where it was called wrongly, or 130 where Ctrl-C ended it.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Interrupted(_) => 130,
            _ => 1,
        }
    }

    /// Whether the same request may be answered a little later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NotNow(_))
    }

    /// What an answer of the API server means.
    pub(super) fn of(error: &KubeError, asked: Asked<'_>) -> Self {
        match error {
            KubeError::Api(status) => Self::of_status(status, asked),
            KubeError::Auth(cause) => Self::Unauthorized(innermost(cause)),
            KubeError::SerdeError(cause) => Self::Unreadable {
                kind: asked.kind.into(),
                name: "resource".into(),
                cause: cause.to_string(),
            },
            other => Self::Unreachable { url: asked.url.into(), cause: innermost(other) },
        }
    }

    fn of_status(status: &Status, asked: Asked<'_>) -> Self {
        let said = status.message.trim().trim_end_matches('.').to_owned();
        match status.code {
            401 => Self::Unauthorized(said),
            // A quota or an admission webhook refuses with the same code.
            403 if said.contains(" cannot ") => Self::Forbidden {
                verb: asked.verb,
                resource: asked.resource.into(),
                namespace: asked.namespace.into(),
            },
            404 if said.starts_with("namespaces ") => Self::NotThere(format!(
                "there is no namespace {}. Name another one with -n",
                asked.namespace
            )),
            404 => Self::NotInstalled { kind: asked.kind.into() },
            429 | 500.. => Self::NotNow(said),
            _ => Self::Refused(said),
        }
    }
}

/// Whether the answer is that there is no object of that name, rather than no such kind.
pub(super) fn is_missing_object(status: &Status) -> bool {
    let named = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    status.code == 404 && named && !status.message.starts_with("namespaces ")
}

/// The words of the cause that nothing else caused: those around it say that something went wrong.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use kube::core::response::StatusDetails;

    use super::*;

    const ASKED: Asked<'static> = Asked {
        verb: "create",
        kind: "AgentFSRestore",
        resource: "agentfsrestores.agentfs.io",
        namespace: "agents",
        url: "https://10.0.0.1:6443/",
    };

    fn said(code: u16, message: &str) -> Error {
        let status = Status::failure(message, "").with_code(code);
        Error::of(&KubeError::Api(status.boxed()), ASKED)
    }

    #[test]
    fn a_missing_right_is_named_with_what_shows_it() {
        let message = "agentfsrestores.agentfs.io is forbidden: User \"ada\" cannot create resource \"agentfsrestores\"";
        assert_eq!(
            said(403, message).to_string(),
            "you may not create agentfsrestores.agentfs.io in namespace agents. Ask for a role with that right; this shows \
             whether you have it: kubectl auth can-i create agentfsrestores.agentfs.io -n agents"
        );
        let quota = said(403, "\"x\" is forbidden: exceeded quota: few, requested: count=1.");
        assert_eq!(
            quota.to_string(),
            "the cluster refuses it: \"x\" is forbidden: exceeded quota: few, requested: count=1"
        );
    }

    #[test]
    fn a_kind_that_is_not_there_is_told_from_an_object_that_is_not() {
        let missing = said(404, "404 page not found");
        assert!(
            missing.to_string().starts_with(
                "the cluster has no kind AgentFSRestore: the AgentFS operator is not installed"
            ),
            "{missing}"
        );
        let namespace = said(404, "namespaces \"agents\" not found").to_string();
        assert!(namespace.starts_with("there is no namespace agents."), "{namespace}");

        let details: StatusDetails =
            serde_json::from_value(serde_json::json!({"name": "undo"})).unwrap();
        let status = Status::failure("agentfsrestores \"undo\" not found", "NotFound");
        let status = Status { details: Some(details), ..status.with_code(404) };
        assert!(is_missing_object(&status));
        assert!(!is_missing_object(&Status::failure("404 page not found", "").with_code(404)));
    }

    #[test]
    fn exit_codes_tell_failure_from_wrong_use_and_from_ctrl_c() {
        assert_eq!(Error::Declined.exit_code(), 1);
        assert_eq!(Error::Usage(String::new()).exit_code(), 2);
        assert_eq!(Error::Interrupted(String::new()).exit_code(), 130);
        assert!(said(503, "etcd is away").is_passing() && !said(422, "wrong").is_passing());
    }
}
