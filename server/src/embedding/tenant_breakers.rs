//! A circuit breaker for each tenant: while a tenant's texts fail, those of the others go on.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::breaker::Pause;
use crate::domain::TenantId;

/// Tenants that fail, with nothing embedded in between, before the provider is assumed to be at fault.
pub(super) const MANY_TENANTS: usize = 3;

/// Failures that are remembered; those whose pause has ended are forgotten first.
const REMEMBERED: usize = 10_000;

/// The breakers of all tenants.
#[derive(Debug, Default)]
pub(super) struct TenantBreakers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failing: HashMap<TenantId, Pause>,
    /// Tenants that have failed since something was embedded.
    in_a_row: HashSet<TenantId>,
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed {
    /// It is the tenant's first since its last success.
    pub(super) is_first: bool,
    /// So many tenants fail that it is the provider's fault.
    pub(super) is_providers: bool,
}

impl TenantBreakers {
    /// The tenants of which nothing is tried at `now`.
    pub(super) fn paused(&self, now: Instant) -> Vec<TenantId> {
        let state = self.state();
        let paused = state.failing.iter().filter(|(_, pause)| pause.rest(now).is_some());
        paused.map(|(tenant, _)| *tenant).collect()
    }

    /// How long nothing of `tenant` is tried.
    pub(super) fn rest(&self, tenant: TenantId, now: Instant) -> Option<Duration> {
        self.state().failing.get(&tenant).and_then(|pause| pause.rest(now))
    }

    /// Records a success. Returns whether the tenant was failing.
    pub(super) fn success(&self, tenant: TenantId) -> bool {
        let mut state = self.state();
        state.in_a_row.clear();
        state.failing.remove(&tenant).is_some()
    }

    /// Records a failure, with the pause that the provider asked for.
    pub(super) fn failure(
        &self,
        tenant: TenantId,
        now: Instant,
        asked: Option<Duration>,
    ) -> Failed {
        let mut state = self.state();
        if state.failing.len() >= REMEMBERED {
            state.failing.retain(|_, pause| pause.rest(now).is_some());
        }
        let is_first = state.failing.entry(tenant).or_default().lengthen(now, asked);
        state.in_a_row.insert(tenant);
        let is_providers = state.in_a_row.len() >= MANY_TENANTS;
        if is_providers {
            state.in_a_row.clear();
        }
        Failed { is_first, is_providers }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_tenant_pauses_alone_and_many_in_a_row_are_the_providers_fault() {
        let (breakers, now) = (TenantBreakers::default(), Instant::now());
        let tenant = |n| TenantId(Uuid::from_u128(n));
        let fails = |n| breakers.failure(tenant(n), now, Some(Duration::from_secs(7)));
        let failed = |is_first, is_providers| Failed { is_first, is_providers };
        assert_eq!(fails(1), failed(true, false));
        assert_eq!(fails(1), failed(false, false), "however often");
        assert_eq!(breakers.rest(tenant(1), now), Some(Duration::from_secs(7)));
        assert_eq!(breakers.rest(tenant(2), now), None);
        assert_eq!(breakers.paused(now), [tenant(1)]);
        assert_eq!(breakers.paused(now + Duration::from_secs(7)), []);
        assert_eq!(fails(2), failed(true, false));
        assert!(breakers.success(tenant(2)) && !breakers.success(tenant(3)));
        assert_eq!(fails(1), failed(false, false), "something was embedded in between");
        assert_eq!(fails(2), failed(true, false));
        assert_eq!(fails(3), failed(true, true));
    }
}
