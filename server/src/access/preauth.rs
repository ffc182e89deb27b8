//! Limits requests without a valid key: a rate limit per client network, and a lockout for guessing secrets.
//!
//! Counted in this process alone, in caches of bounded size: with N replicas a client has N times as many
//! tries. Only failed requests count, and a valid key is always let in, so clients behind one proxy do not
//! block each other. The price: a lockout does not keep a guesser from being right, it only refuses wrong
//! guesses in another way. Nobody guesses 32 random bytes. Tokens are what somebody thought of, so a client that
//! has used up its failures, or is locked out, may not try one at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use crate::domain::access::api_key::KeyId;
use crate::domain::access::client::ClientNetwork;
use crate::domain::access::lockout::{self, Guesses};
use crate::domain::access::rate_limit::{MinuteCount, PerMinute, RateLimitStatus};

/// Clients, and pairs of client and what it guesses at, that are kept; the least recently seen are evicted first.
const REMEMBERED: u64 = 100_000;

/// The reason for refusing a request without a valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has no valid key.
    Unauthorized,
    /// Its client has sent too many such requests within this minute.
    TooMany,
    /// Its client is locked out of this key or token after too many wrong secrets.
    LockedOut {
        /// How much longer.
        rest: Duration,
    },
}

/// What a client guesses at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guessed {
    /// The secret of a key that exists.
    Key(KeyId),
    /// The token that creates the first keys.
    BootstrapToken,
    /// The token of /metrics.
    MetricsToken,
}

/// Counts requests that failed to authenticate.
#[derive(Debug, Clone)]
pub struct Preauth {
    limit: Option<PerMinute>,
    failures: Cache<ClientNetwork, Arc<Mutex<MinuteCount>>>,
    guesses: Cache<(ClientNetwork, Guessed), Arc<Mutex<Guesses>>>,
}

impl Preauth {
    /// Allows `limit` failures a minute and client; without a limit they are not counted.
    pub fn new(limit: Option<PerMinute>) -> Self {
        Self {
            limit,
            failures: Cache::builder()
                .max_capacity(REMEMBERED)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(Duration::from_mins(1))
                .build(),
            guesses: Cache::builder()
                .max_capacity(REMEMBERED)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(lockout::WINDOW)
                .build(),
        }
    }

    /// Counts a failed request of `client`, with the token that was wrong, or the key whose secret was, if that key exists.
    /// Returns the client's rate limit status as well, if there is a limit.
    pub async fn failed(
        &self,
        client: ClientNetwork,
        guessed_at: Option<Guessed>,
    ) -> (Verdict, Option<RateLimitStatus>) {
        let lockout = match guessed_at {
            Some(guessed) => self.guessed(client, guessed).await,
            None => None,
        };
        let verdict = lockout.map_or(Verdict::Unauthorized, |rest| Verdict::LockedOut { rest });
        let Some(limit) = self.limit else { return (verdict, None) };
        let counter = self.failures.get_with(client, async { Arc::default() }).await;
        let (status, within) = locked(&counter).count(limit, Timestamp::now());
        (if within { verdict } else { Verdict::TooMany }, Some(status))
    }

    /// Whether `client` has used up its failures of this minute.
    async fn is_suspect(&self, client: ClientNetwork) -> bool {
        let Some(limit) = self.limit else { return false };
        let counter = self.failures.get(&client).await;
        counter.is_some_and(|counter| locked(&counter).is_used_up(limit, Timestamp::now()))
    }

    /// Whether a token of `client` is to be compared with `token`. One that is not counts as a failure nevertheless.
    pub async fn may_try(&self, client: ClientNetwork, token: Guessed) -> bool {
        if self.is_suspect(client).await {
            return false;
        }
        let guesses = self.guesses.get(&(client, token)).await;
        guesses.is_none_or(|guesses| locked(&guesses).lockout(Instant::now()).is_none())
    }

    async fn guessed(&self, client: ClientNetwork, guessed: Guessed) -> Option<Duration> {
        let now = Instant::now();
        let new = async { Arc::new(Mutex::new(Guesses::new(now))) };
        let counter = self.guesses.get_with((client, guessed), new).await;
        locked(&counter).wrong(now)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::api_key::ApiKey;

    fn client(address: &str) -> ClientNetwork {
        ClientNetwork::of(address.parse().unwrap())
    }

    #[tokio::test]
    async fn failures_are_counted_a_client() {
        let preauth = Preauth::new(PerMinute::new(2));
        let failed = async |address| preauth.failed(client(address), None).await;
        let (verdict, status) = failed("192.0.2.1").await;
        assert_eq!((verdict, status.unwrap().remaining), (Verdict::Unauthorized, 1));
        assert!(!preauth.is_suspect(client("192.0.2.1")).await);
        failed("192.0.2.1").await;
        assert!(preauth.is_suspect(client("192.0.2.1")).await);
        assert_eq!(failed("192.0.2.1").await.0, Verdict::TooMany);
        assert_eq!(failed("192.0.2.2").await.0, Verdict::Unauthorized);
        assert!(!preauth.is_suspect(client("192.0.2.2")).await);
    }

    #[tokio::test]
    async fn guessers_are_locked_out_of_one_key_from_one_address() {
        let preauth = Preauth::new(None);
        let key = || Guessed::Key(*ApiKey::generate().id());
        let (one, other) = (key(), key());
        let guess = async |address, key| preauth.failed(client(address), Some(key)).await.0;
        for _ in 0..lockout::GUESSES {
            assert_eq!(guess("192.0.2.1", one).await, Verdict::Unauthorized);
        }
        assert!(matches!(guess("192.0.2.1", one).await, Verdict::LockedOut { .. }));
        assert_eq!(guess("192.0.2.1", other).await, Verdict::Unauthorized);
        assert_eq!(guess("192.0.2.2", one).await, Verdict::Unauthorized);
    }

    #[tokio::test]
    async fn a_token_may_be_tried_until_the_failures_are_used_up_or_it_was_guessed_at() {
        let (here, there) = (client("192.0.2.1"), client("192.0.2.2"));
        let limited = Preauth::new(PerMinute::new(1));
        assert!(limited.may_try(here, Guessed::MetricsToken).await);
        limited.failed(here, None).await;
        assert!(!limited.may_try(here, Guessed::MetricsToken).await);
        assert!(limited.may_try(there, Guessed::MetricsToken).await);

        let unlimited = Preauth::new(None);
        for _ in 0..lockout::GUESSES {
            assert!(unlimited.may_try(here, Guessed::MetricsToken).await);
            unlimited.failed(here, Some(Guessed::MetricsToken)).await;
        }
        assert!(!unlimited.may_try(here, Guessed::MetricsToken).await);
        assert!(unlimited.may_try(here, Guessed::BootstrapToken).await);
        assert!(unlimited.may_try(there, Guessed::MetricsToken).await);
    }
}
