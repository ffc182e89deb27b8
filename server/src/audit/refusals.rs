//! Refusals: failed logins, lockouts and missing rights.

use std::collections::HashMap;
use std::mem::take;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::TARGET;
use crate::domain::TenantId;
use crate::domain::access::api_key::KeyId;
use crate::domain::access::client::ClientNetwork;

/// Refusals of a kind that a network has recorded one by one within a minute; the others are counted.
const ONE_BY_ONE: u32 = 10;
/// Pairs of network and kind that are told apart within a minute; all others are counted together.
const TOLD_APART: usize = 10_000;
const WINDOW: Duration = Duration::from_mins(1);

/// Why somebody was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No valid key or token.
    FailedLogin,
    /// Too many wrong secrets for one key.
    Lockout,
    /// A valid key that may not do that.
    Forbidden,
}

impl Refusal {
    fn as_str(self) -> &'static str {
        match self {
            Self::FailedLogin => "failed_login",
            Self::Lockout => "lockout",
            Self::Forbidden => "forbidden",
        }
    }
}

/// A request that was refused.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// Why.
    pub refusal: Refusal,
    /// The code of the answer.
    pub code: &'a str,
    /// The key that it was sent with; `None` without a valid one.
    pub by: Option<KeyId>,
    /// The tenant of that key.
    pub tenant: Option<TenantId>,
    /// The key that it named without proving it.
    pub named: Option<KeyId>,
    /// Its client.
    pub client: IpAddr,
    /// Its id.
    pub request_id: &'a str,
}

/// Records refusals: of each network and kind the first ones of a minute one by one, then a line with the number of the others.
/// What was counted is recorded at the latest when the last clone is dropped.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Counts>);

impl Refusals {
    /// Begins to record; a task of this runtime writes what was counted each minute.
    pub fn start() -> Self {
        let counts: Arc<Counts> = Arc::default();
        let shared = Arc::downgrade(&counts);
        tokio::spawn(async move {
            let mut minutes = interval(WINDOW);
            minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
            minutes.tick().await;
            loop {
                minutes.tick().await;
                let Some(counts) = shared.upgrade() else { return };
                counts.report();
            }
        });
        Self(counts)
    }

    /// Records a refusal, or counts it.
    pub fn record(&self, refused: Refused<'_>) {
        if !self.0.count(ClientNetwork::of(refused.client), refused.refusal) {
            return;
        }
        tracing::warn!(
            target: TARGET,
            act = refused.refusal.as_str(),
            code = refused.code,
            by = refused.by.as_ref().map(KeyId::as_str),
            id = refused.named.as_ref().map(KeyId::as_str),
            tenant = refused.tenant.map(tracing::field::display),
            client = %refused.client,
            request_id = refused.request_id,
            "audit"
        );
    }
}

/// The refusals of the minute.
#[derive(Debug, Default)]
struct Counts(Mutex<Minute>);

#[derive(Debug, Default)]
struct Minute {
    of: HashMap<(ClientNetwork, Refusal), u32>,
    /// Those of networks that are not told apart.
    others: u32,
}

impl Counts {
    /// Counts a refusal. Whether it is recorded by itself.
    fn count(&self, network: ClientNetwork, refusal: Refusal) -> bool {
        let mut minute = self.minute();
        let is_full = minute.of.len() >= TOLD_APART;
        match minute.of.get_mut(&(network, refusal)) {
            Some(count) => {
                *count = count.saturating_add(1);
                *count <= ONE_BY_ONE
            }
            None if is_full => {
                minute.others = minute.others.saturating_add(1);
                false
            }
            None => {
                minute.of.insert((network, refusal), 1);
                true
            }
        }
    }

    /// Writes the numbers of those that were not recorded by themselves, and begins anew.
    fn report(&self) {
        let Minute { of, others } = take(&mut *self.minute());
        for ((network, refusal), count) in of {
            if let Some(count) = count.checked_sub(ONE_BY_ONE).filter(|more| *more > 0) {
                let act = refusal.as_str();
                tracing::warn!(target: TARGET, act, count, client = %network, "audit");
            }
        }
        if others > 0 {
            tracing::warn!(target: TARGET, act = "refused", count = others, "audit");
        }
    }

    fn minute(&self) -> MutexGuard<'_, Minute> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.report();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn network(number: u32) -> ClientNetwork {
        ClientNetwork::of(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn the_first_ones_of_a_minute_are_recorded_and_the_others_counted() {
        let counts = Counts::default();
        let alone = |network, refusal| (0..25).filter(|_| counts.count(network, refusal)).count();
        assert_eq!(alone(network(1), Refusal::FailedLogin), 10);
        assert_eq!(alone(network(1), Refusal::Lockout), 10, "kinds are told apart");
        assert_eq!(alone(network(2), Refusal::FailedLogin), 10, "networks are told apart");
        assert_eq!(counts.minute().of[&(network(1), Refusal::FailedLogin)], 25);
        counts.report();
        assert_eq!(alone(network(1), Refusal::FailedLogin), 10, "a minute begins anew");
    }

    #[test]
    fn memory_is_bounded_whatever_number_of_networks_comes() {
        let counts = Counts::default();
        for number in 0..20_000 {
            counts.count(network(number), Refusal::FailedLogin);
        }
        let minute = counts.minute();
        assert_eq!((minute.of.len(), minute.others), (TOLD_APART, 10_000));
    }
}
