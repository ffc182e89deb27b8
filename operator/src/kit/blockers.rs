//! Blockers: what keeps one part of a resource from being made, while the others go on.

use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt as _};

use super::conditions::{Failure, State};
use super::labels::{APPLICATION, INSTANCE, MANAGED_BY, MANAGER};
use super::ownership::{Owner, Ownership, SOMEBODY_ELSE, ownership};
use super::reasons;
use super::secrets::Unusable;
use super::sentences::without_full_stop;

/// What keeps one part from being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// The condition that tells of that part.
    pub of: &'static str,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with an object that a part needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An object of the name is there and belongs to somebody else.
    #[error("{kind} {name} already exists and belongs to {whose}")]
    NameTaken {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
        /// Whose it is.
        whose: String,
        /// The command that hands it over, where nobody owns it.
        adoption: Option<String>,
    },
    /// An object of the name is there and is being deleted.
    #[error("{kind} {name} is being deleted")]
    Terminating {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
        /// What is lost with it, where it holds data.
        loss: Option<Box<Failure>>,
    },
    /// A Secret that the spec names is not there.
    #[error("Secret {secret}, which {field} names, does not exist")]
    SecretMissing {
        /// The Secret's name.
        secret: String,
        /// The field that names it.
        field: &'static str,
        /// What to do, a whole sentence.
        remedy: String,
    },
    /// A Secret cannot be used as it is.
    #[error("Secret {secret} {unusable}")]
    SecretUnusable {
        /// The Secret's name.
        secret: String,
        /// What is wrong with it.
        unusable: Unusable,
        /// What to do, a whole sentence.
        remedy: &'static str,
    },
    /// Something that only its kind knows of.
    #[error("{}", .0.what)]
    Other(Failure),
    /// The API server refuses an object: a quota, a policy, a value it does not take.
    #[error("Kubernetes refuses the {kind} {name}: {message}")]
    Refused {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
        /// What the API server says.
        message: String,
    },
}

impl Problem {
    /// What keeps `live` from being used for `owner`, where something does.
    pub fn of<K: Resource<DynamicType = ()>>(live: &K, owner: &Owner) -> Option<Self> {
        let (kind, name) = (K::kind(&()).into_owned(), live.name_any());
        match ownership(live, owner) {
            Ownership::Owned => None,
            Ownership::Terminating => Some(Self::Terminating { kind, name, loss: None }),
            Ownership::Foreign(whose) => {
                let adoption = (whose == SOMEBODY_ELSE).then(|| {
                    format!(
                        "kubectl label {} {name} -n {} --overwrite {MANAGED_BY}={MANAGER} \
                         {APPLICATION}={} {INSTANCE}={}",
                        kind.to_lowercase(),
                        owner.namespace,
                        owner.kind.to_lowercase(),
                        owner.name
                    )
                });
                Some(Self::NameTaken { kind, name, whose, adoption })
            }
        }
    }
}

impl Blocker {
    /// What is to be said of it.
    pub fn state(&self) -> State {
        let wrong = |reason, remedy: String| {
            State::Failed(Failure::new(
                reason,
                without_full_stop(&self.problem.to_string()),
                remedy,
            ))
        };
        match &self.problem {
            Problem::NameTaken { adoption, .. } => {
                let adopt = adoption.as_ref().map(|command| format!(" To hand it over: {command}"));
                let refuses = "The operator does not overwrite it: remove it, or give your resource another name.";
                wrong(reasons::NAME_TAKEN, format!("{refuses}{}", adopt.unwrap_or_default()))
            }
            Problem::Terminating { loss: Some(loss), .. } => State::Failed((**loss).clone()),
            Problem::Terminating { .. } => State::progressing(
                reasons::AWAITING_DELETION,
                format!("{}; it is created again once it is gone", self.problem),
            ),
            Problem::SecretMissing { remedy, .. } => wrong(reasons::SECRET_MISSING, remedy.clone()),
            Problem::SecretUnusable { remedy, .. } => {
                wrong(reasons::CREDENTIALS_UNUSABLE, (*remedy).to_owned())
            }
            Problem::Other(failure) => State::Failed(failure.clone()),
            Problem::Refused { kind, message, .. } => {
                let reason = if message.contains("exceeded quota") {
                    reasons::QUOTA_EXCEEDED
                } else {
                    reasons::OBJECT_REFUSED
                };
                let or = if kind == "PersistentVolumeClaim" && message.contains("resize") {
                    " (or set the size back to what the volume has)"
                } else {
                    ""
                };
                let remedy =
                    format!("Change what the message names{or}; the operator retries by itself.");
                wrong(reason, remedy)
            }
        }
    }

    /// Whether the object `name` of `kind` is not to be touched.
    pub fn blocks(&self, kind: &str, name: &str) -> bool {
        match &self.problem {
            Problem::NameTaken { kind: k, name: n, .. }
            | Problem::Terminating { kind: k, name: n, .. } => k == kind && n == name,
            _ => false,
        }
    }
}

/// Lets through what belongs to one owner, and notes what does not.
#[derive(Debug)]
pub struct OwnershipFilter<'a> {
    owner: &'a Owner,
    /// What was held back.
    pub blockers: Vec<Blocker>,
}

impl<'a> OwnershipFilter<'a> {
    /// A filter for what belongs to `owner`.
    pub fn new(owner: &'a Owner) -> Self {
        Self { owner, blockers: Vec::new() }
    }

    /// `live` if it is ours. `of` is the condition that tells of it.
    pub fn owned<K: Resource<DynamicType = ()>>(
        &mut self,
        of: &'static str,
        live: Option<K>,
    ) -> Option<K> {
        let live = live?;
        let Some(problem) = Problem::of(&live, self.owner) else { return Some(live) };
        self.blockers.push(Blocker { of, problem });
        None
    }

    /// The same, and as the second `live` if it would be ours but is being deleted.
    pub fn owned_or_leaving<K: Resource<DynamicType = ()> + Clone>(
        &mut self,
        of: &'static str,
        live: Option<K>,
    ) -> (Option<K>, Option<K>) {
        let leaving =
            live.as_ref().filter(|live| ownership(*live, self.owner) == Ownership::Terminating);
        let leaving = leaving.cloned();
        (self.owned(of, live), leaving)
    }
}

/// Notes that data is lost with `live`, which is being deleted.
pub fn will_lose<K: Resource<DynamicType = ()>>(blockers: &mut [Blocker], live: &K, what: Failure) {
    let of_it = |blocker: &&mut Blocker| blocker.blocks(&K::kind(&()), &live.name_any());
    if let Some(Blocker { problem: Problem::Terminating { loss, .. }, .. }) =
        blockers.iter_mut().find(of_it)
    {
        *loss = Some(Box::new(what));
    }
}

/// What a Secret of ours holds, or what it shall hold where there is none. One that is there and
/// cannot be read, or is somebody else's, is a blocker; `of` is the condition that tells of it.
pub fn kept_secret<T>(
    of: &'static str,
    live: Option<&Secret>,
    name: String,
    blockers: &mut Vec<Blocker>,
    read: impl Fn(&Secret) -> Result<T, Unusable>,
    make: impl Fn() -> T,
) -> Option<T> {
    let Some(secret) = live else {
        let blocked = blockers.iter().any(|blocker| blocker.blocks("Secret", &name));
        return (!blocked).then(make);
    };
    match read(secret) {
        Ok(content) => Some(content),
        Err(unusable) => {
            blockers.push(Blocker {
                of,
                problem: Problem::SecretUnusable {
                    secret: name,
                    unusable,
                    remedy: "Correct it, or delete the Secret: the operator then makes a new one.",
                },
            });
            None
        }
    }
}
