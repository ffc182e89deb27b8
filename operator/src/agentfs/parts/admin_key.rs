//! The first API key, and its Secret. It is made once and kept ever after; the Secret has no owner: the
//! database that knows the key outlives the AgentFS as well.

use std::collections::BTreeMap;

use agentfs_contract::api_key::{self, FORM};
use k8s_openapi::api::core::v1::Secret;
use secrecy::{ExposeSecret as _, SecretString};

use super::api::objects::COMPONENT;
use crate::agentfs::plan::Plan;
use crate::agentfs::status_inputs::CREDENTIALS_READY;
use crate::agentfs::validate::PlanInputs;
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

    /// The key that a Secret holds.
    pub fn from_secret(secret: &Secret) -> Result<Self, Unusable> {
        let key = text(secret, "key")?;
        if api_key::split(&key).is_none() {
            return Err(Unusable::Malformed(
                "key".into(),
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

/// The key that the Secret holds, or a new one where there is no Secret.
pub fn plan(inputs: &PlanInputs<'_>, blockers: &mut Vec<Blocker>) -> Option<AdminKey> {
    kept_secret(
        CREDENTIALS_READY,
        inputs.observed.parts.admin_key.as_ref(),
        inputs.names.admin_key(),
        blockers,
        AdminKey::from_secret,
        AdminKey::generate,
    )
}

/// Makes the Secret.
pub fn build(plan: &Plan, admin_key: &AdminKey) -> Secret {
    Secret {
        metadata: plan.kept(plan.names.admin_key(), COMPONENT),
        type_: Some("Opaque".into()),
        data: Some(BTreeMap::from([data("key", admin_key.expose())])),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::secrets::secret_of as secret;

    #[test]
    fn a_generated_key_has_the_form_that_is_read_back() {
        let key = AdminKey::generate();
        assert_eq!(key.expose().len(), "agfs_live_".len() + 11 + 1 + 43);
        assert!(AdminKey::from_secret(&secret(&[("key", key.expose())])).is_ok());
        assert_ne!(key.expose(), AdminKey::generate().expose());
    }

    #[test]
    fn a_broken_key_is_refused() {
        for key in ["", "agfs_live_short.short", "sk-123", "agfs_live_AAAAAAAAAAA"] {
            assert!(AdminKey::from_secret(&secret(&[("key", key)])).is_err(), "{key:?} was taken");
        }
    }

    #[test]
    fn a_key_does_not_show_in_debug_output() {
        let key = AdminKey::generate();
        assert!(!format!("{key:?}").contains(key.expose()));
    }
}
