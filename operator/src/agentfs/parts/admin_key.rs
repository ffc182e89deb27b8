//! The first API key, and its Secret. It is made once and kept until somebody asks for another; the Secret has no owner: the
//! database that knows the key outlives the AgentFS as well.
//!
//! A new value of the annotation [`ROTATE`] puts a new key and the value into the Secret by one write, so that an operator which
//! ends then goes on from there. The migration is made of the key, so it runs again and makes it valid; of this deployment's keys the
//! server then ends the earlier one alone, once all of its pods know the new one. Until then the Secret has the earlier one too.

use std::collections::BTreeMap;

use agentfs_contract::api_key::{self, FORM};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::runtime::events::{Event, EventType};
use secrecy::{ExposeSecret as _, SecretString};

use super::api::objects::COMPONENT;
use super::migration;
use super::migration::plan::Next;
use crate::agentfs::plan::Plan;
use crate::agentfs::status_inputs::{CREDENTIALS_READY, StatusInputs};
use crate::agentfs::validate::PlanInputs;
use crate::crd::agentfs::AdminKeyStatus;
use crate::kit::blockers::{Blocker, kept_secret};
use crate::kit::digest::hash;
use crate::kit::secrets::{Unusable, data, text};

/// The first API key, with the scope `admin`.
#[derive(Clone, Debug)]
pub struct AdminKey(SecretString);

impl AdminKey {
    /// A new random key.
    pub fn generate() -> Self {
        Self(api_key::generate().whole())
    }

    /// The key in an entry of a Secret.
    fn from_secret(secret: &Secret, entry: &str) -> Result<Self, Unusable> {
        let key = text(secret, entry)?;
        if api_key::split(&key).is_none() {
            return Err(Unusable::Malformed(
                entry.into(),
                format!("an API key of the form {FORM}"),
            ));
        }
        Ok(Self(key.into()))
    }

    /// The key itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// A hash that changes when the key does.
    pub fn hash(&self) -> String {
        hash([self.expose()])
    }
}

/// The annotation of an AgentFS by which somebody asks for a new key; each new value does, once.
pub const ROTATE: &str = "agentfs.io/rotate-admin-key";
/// The annotation of the Secret with the value of [`ROTATE`] that its key was made for.
const ROTATION: &str = "agentfs.io/admin-key-rotation";
/// As much of a value of [`ROTATE`] as the status tells, in characters.
const LONGEST_TOLD: usize = 253;
/// The entry of the Secret with the key.
pub const KEY: &str = "key";
/// The entry of the Secret with the key before it, which is valid until the new one is.
const PREVIOUS: &str = "previous-key";

/// The key as it is to be.
#[derive(Clone, Debug)]
pub struct AdminKeyPlan {
    /// The key that the migration makes valid.
    pub key: AdminKey,
    /// The one before it, where that may still be the valid one.
    previous: Option<AdminKey>,
    /// The value of [`ROTATE`] that the key was made for.
    rotation: Option<String>,
}

/// The key that the Secret holds, or a new one where there is no Secret, or somebody asks for one.
pub fn plan(inputs: &PlanInputs<'_>, blockers: &mut Vec<Blocker>) -> Option<AdminKeyPlan> {
    let PlanInputs { observed, rotate_admin_key, .. } = inputs;
    let wanted = rotate_admin_key.map(str::to_owned);
    let plan = kept_secret(
        CREDENTIALS_READY,
        observed.parts.admin_key.as_ref(),
        inputs.names.admin_key(),
        blockers,
        AdminKeyPlan::from_secret,
        || AdminKeyPlan { key: AdminKey::generate(), previous: None, rotation: wanted.clone() },
    )?;
    let is_asked_for = wanted.is_some() && wanted != plan.rotation;
    // One at a time, and only where the key that is replaced is valid and the new one can be made so.
    let can_rotate = plan.previous.is_none()
        && !inputs.spec.suspend
        && migration::plan::is_done(&observed.parts.migration.jobs, inputs.image);
    Some(if is_asked_for && can_rotate {
        AdminKeyPlan { key: AdminKey::generate(), previous: Some(plan.key), rotation: wanted }
    } else {
        plan
    })
}

impl AdminKeyPlan {
    fn from_secret(secret: &Secret) -> Result<Self, Unusable> {
        Ok(Self {
            key: AdminKey::from_secret(secret, KEY)?,
            previous: AdminKey::from_secret(secret, PREVIOUS).ok(),
            rotation: secret.annotations().get(ROTATION).cloned(),
        })
    }
}

/// Makes the Secret; the migration that makes its key valid is at `next`.
pub fn build(plan: &Plan, admin_key: &AdminKeyPlan, next: Next) -> Secret {
    let AdminKeyPlan { key, previous, rotation } = admin_key;
    let mut metadata = plan.kept(plan.deletion_policy, plan.names.admin_key(), COMPONENT);
    if let Some(rotation) = rotation {
        metadata.annotations.get_or_insert_default().insert(ROTATION.into(), rotation.clone());
    }
    let previous = previous.as_ref().filter(|_| !is_valid(next));
    let mut entries = BTreeMap::from([data(KEY, key.expose())]);
    entries.extend(previous.map(|previous| data(PREVIOUS, previous.expose())));
    Secret { metadata, type_: Some("Opaque".into()), data: Some(entries), ..Secret::default() }
}

/// Whether the migration has made the key valid.
fn is_valid(next: Next) -> bool {
    matches!(next, Next::Done { .. })
}

impl StatusInputs<'_> {
    /// The newest rotation of the key whose key is valid.
    pub fn rotation(&self) -> Option<AdminKeyStatus> {
        let admin_key = self.plan.parts.admin_key.as_ref()?;
        let rotation = admin_key.rotation.as_ref();
        let rotation = rotation.filter(|_| is_valid(self.children.migration.next))?;
        Some(AdminKeyStatus {
            rotation: rotation.chars().take(LONGEST_TOLD).collect(),
            rotated_time: Some(Time(self.observed.now)),
        })
    }
}

/// The status of the key: what is news has its own moment, and what is known keeps it.
pub fn remembered(
    now: Option<AdminKeyStatus>,
    former: Option<&AdminKeyStatus>,
) -> Option<AdminKeyStatus> {
    let is_news =
        |now: &AdminKeyStatus| former.is_none_or(|former| former.rotation != now.rotation);
    now.filter(is_news).or_else(|| former.cloned())
}

/// The Event of a rotation that is complete now: its key is valid, and the Secret still has the one before.
pub fn rotated(plan: &Plan, next: Next) -> Option<Event> {
    let admin_key = plan.parts.admin_key.as_ref().filter(|_| is_valid(next))?;
    admin_key.previous.as_ref()?;
    Some(Event {
        type_: EventType::Normal,
        reason: "AdminKeyRotated".into(),
        note: Some(format!(
            "The Secret {} has a new admin key, which is valid. The earlier one ends within two minutes; all other keys stay.",
            plan.names.admin_key()
        )),
        action: "RotateAdminKey".into(),
        secondary: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::secrets::secret_of as secret;

    #[test]
    fn a_generated_key_has_the_form_that_is_read_back() {
        let key = AdminKey::generate();
        assert_eq!(key.expose().len(), "agfs_live_".len() + 11 + 1 + 43);
        assert!(AdminKey::from_secret(&secret(&[("key", key.expose())]), KEY).is_ok());
        assert_ne!(key.expose(), AdminKey::generate().expose());
    }

    #[test]
    fn a_broken_key_is_refused() {
        for key in ["", "agfs_live_short.short", "sk-123", "agfs_live_AAAAAAAAAAA"] {
            assert!(
                AdminKey::from_secret(&secret(&[("key", key)]), KEY).is_err(),
                "{key:?} was taken"
            );
        }
    }

    #[test]
    fn a_key_does_not_show_in_debug_output() {
        let key = AdminKey::generate();
        assert!(!format!("{key:?}").contains(key.expose()));
    }
}
