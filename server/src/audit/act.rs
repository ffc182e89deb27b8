//! Acts: changes made by administrators.

use std::net::IpAddr;

use super::TARGET;
use crate::domain::TenantId;
use crate::domain::access::api_key::KeyId;

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A command of this program.
    Command,
    /// A bearer of the bootstrap token.
    BootstrapToken,
    /// The owner of a key.
    Key(KeyId),
}

impl Who {
    fn as_str(&self) -> &str {
        match self {
            Self::Command => "command",
            Self::BootstrapToken => "bootstrap token",
            Self::Key(id) => id.as_str(),
        }
    }
}

/// Who acts, and by which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    who: Who,
    request: Option<(IpAddr, String)>,
}

impl Actor {
    /// The command that runs.
    pub fn command() -> Self {
        Self { who: Who::Command, request: None }
    }

    /// The sender of a request: from this address, under this id.
    pub fn request(who: Who, client: IpAddr, request_id: &str) -> Self {
        Self { who, request: Some((client, request_id.to_owned())) }
    }

    /// The key that acts, if it is one.
    pub fn key(&self) -> Option<KeyId> {
        match self.who {
            Who::Key(id) => Some(id),
            Who::Command | Who::BootstrapToken => None,
        }
    }

    /// Begins an act. `id`: of what is made or changed; `tenant`: whose it is.
    pub fn begin(&self, what: &'static str, id: &str, tenant: Option<TenantId>) -> Act {
        Act { actor: self.clone(), what, id: id.to_owned(), tenant, is_recorded: false }
    }
}

/// An act that has begun. Dropped before its end is known, as when the database fails or the process ends, it is recorded with the
/// outcome `unknown`: it may have happened.
#[derive(Debug)]
#[must_use = "it is recorded as of unknown outcome unless it is ended"]
pub struct Act {
    actor: Actor,
    what: &'static str,
    id: String,
    tenant: Option<TenantId>,
    is_recorded: bool,
}

impl Act {
    /// Records that it was done. `detail`: what else is worth knowing, without anything secret.
    pub fn done(mut self, detail: &str) {
        self.record("done", Some(detail).filter(|detail| !detail.is_empty()));
    }

    /// Nothing was changed, and nothing is recorded.
    pub fn nothing(mut self) {
        self.is_recorded = true;
    }

    /// The same act, of a tenant that was not known when it began.
    pub fn of(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    fn record(&mut self, outcome: &str, detail: Option<&str>) {
        self.is_recorded = true;
        let request = self.actor.request.as_ref();
        tracing::info!(
            target: TARGET,
            act = self.what,
            outcome,
            by = self.actor.who.as_str(),
            id = self.id,
            tenant = self.tenant.map(tracing::field::display),
            detail,
            client = request.map(|(client, _)| tracing::field::display(client)),
            request_id = request.map(|(_, id)| id.as_str()),
            "audit"
        );
    }
}

impl Drop for Act {
    fn drop(&mut self) {
        if !self.is_recorded {
            self.record("unknown", None);
        }
    }
}
