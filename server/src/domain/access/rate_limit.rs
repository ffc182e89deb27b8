//! Rate limits per minute: a client's status, and the tokens that a replica has leased for it.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use agentfs_contract::setting;

use crate::domain::{DEFAULT_TENANT, TenantId};

/// The kind of requests that a rate limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// All requests with a key.
    Requests,
    /// Searches.
    Searches,
}

impl Limited {
    /// The name in metrics and in buckets.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Searches => "searches",
        }
    }

    /// The setting of the limit.
    pub const fn setting(self, whose: Whose) -> &'static str {
        match (self, whose) {
            (Self::Requests, Whose::Key) => setting::RATE_LIMIT_REQUESTS_PER_MINUTE,
            (Self::Searches, Whose::Key) => setting::SEARCH_RATE_LIMIT_PER_MINUTE,
            (Self::Requests, Whose::Tenant) => setting::TENANT_RATE_LIMIT_REQUESTS_PER_MINUTE,
            (Self::Searches, Whose::Tenant) => setting::TENANT_SEARCH_RATE_LIMIT_PER_MINUTE,
        }
    }
}

/// Whose requests a rate limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of a key.
    Key,
    /// Those of all keys of a tenant together.
    Tenant,
}

impl Whose {
    /// The name in sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Tenant => "tenant",
        }
    }
}

/// The rate limits of one kind of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Of each key; `None` is without limit.
    pub of_key: Option<PerMinute>,
    /// Of tenants.
    pub of_tenants: TenantLimits,
}

/// The rate limits of tenants; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantLimits {
    /// Of the default tenant.
    pub of_default: Option<PerMinute>,
    /// Of each other tenant.
    pub of_others: Option<PerMinute>,
}

impl TenantLimits {
    /// How many keys of a tenant may use up their limits, where the tenant's is not set.
    pub const KEYS: u32 = 8;

    /// One limit for every tenant.
    pub fn all(limit: Option<PerMinute>) -> Self {
        Self { of_default: limit, of_others: limit }
    }

    /// Where none is set: as much as [`Self::KEYS`] keys may use. The default tenant, whose administrators make the others,
    /// has no limit then.
    pub fn following(key: Option<PerMinute>) -> Self {
        Self { of_default: None, of_others: key.map(|key| key.times(Self::KEYS)) }
    }

    /// The limit of `tenant`.
    pub fn of(self, tenant: TenantId) -> Option<PerMinute> {
        if tenant == DEFAULT_TENANT { self.of_default } else { self.of_others }
    }
}

/// A rate limit in requests per minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerMinute(NonZeroU32);

impl PerMinute {
    /// A limit of `requests`; `None` for 0.
    pub fn new(requests: u32) -> Option<Self> {
        NonZeroU32::new(requests).map(Self)
    }

    /// The requests.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    fn times(self, factor: u32) -> Self {
        Self(self.0.saturating_mul(NonZeroU32::new(factor).unwrap_or(NonZeroU32::MIN)))
    }

    /// Tokens of one lease: few enough that unused ones on other replicas matter little, enough that most requests find
    /// one.
    pub fn share(self) -> u32 {
        (self.get() / 10).max(1)
    }
}

/// A client's status under a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitStatus {
    /// Requests a minute.
    pub limit: u32,
    /// Requests left. With several replicas an upper bound: another may hold some of them.
    pub remaining: u32,
    /// Seconds until the minute ends.
    pub reset_seconds: u32,
}

/// Tokens granted by the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The minute that they are valid for, in minutes since 1970, by the database's clock.
    pub minute: i64,
    /// Time until that minute ends.
    pub rest: Duration,
    /// The tokens.
    pub granted: u32,
    /// Tokens of that minute that are not leased yet.
    pub unleased: u32,
}

/// The result of asking for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// A token.
    Token(RateLimitStatus),
    /// No token, and none can be leased before the minute ends.
    UsedUp(RateLimitStatus),
    /// No token here; a lease may bring some.
    Empty,
}

/// The tokens of one client on one replica.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// None before the first lease, and for a minute that the replica has begun by itself.
    minute: Option<i64>,
    /// None before the first lease.
    ends: Option<Instant>,
    left: u32,
    taken: u32,
    unleased: u32,
}

impl Tokens {
    /// Takes a token, if there is one at `now`.
    pub fn take(&mut self, limit: PerMinute, now: Instant) -> Take {
        let Some(rest) = self.ends.and_then(|ends| ends.checked_duration_since(now)) else {
            return Take::Empty;
        };
        let used_up = self.left == 0;
        if used_up && self.unleased > 0 {
            return Take::Empty;
        }
        if !used_up {
            self.left -= 1;
            self.taken = self.taken.saturating_add(1);
        }
        let status = RateLimitStatus {
            limit: limit.get(),
            remaining: self.left.saturating_add(self.unleased),
            reset_seconds: whole_seconds(rest),
        };
        if used_up { Take::UsedUp(status) } else { Take::Token(status) }
    }

    /// Gives back a token that was taken and not used, unless its minute has ended.
    pub fn give_back(&mut self, now: Instant) {
        if self.ends.is_some_and(|ends| ends >= now) {
            self.left = self.left.saturating_add(1);
            self.taken = self.taken.saturating_sub(1);
        }
    }

    /// How many tokens must be leased so that `waiting` requests get one each; 0 if none can be leased.
    pub fn lacking(&self, waiting: u32, now: Instant) -> u32 {
        match self.ends {
            Some(ends) if ends >= now && self.unleased == 0 => 0,
            Some(ends) if ends >= now => waiting.saturating_sub(self.left),
            _ => waiting,
        }
    }

    /// Adds leased tokens at `now`. Those of an earlier minute are dropped.
    pub fn add(&mut self, lease: Lease, now: Instant) {
        let is_current = self.minute == Some(lease.minute);
        let (left, taken) = if is_current { (self.left, self.taken) } else { (0, 0) };
        *self = Self {
            minute: Some(lease.minute),
            ends: Some(now + lease.rest),
            left: left.saturating_add(lease.granted),
            taken,
            unleased: lease.unleased,
        };
    }

    /// Grants the whole limit, less what was taken of it this minute, without a lease. If no minute is under way, one begins that
    /// lasts for `rest`. Nothing is leased before it ends.
    pub fn grant_unleased(&mut self, limit: PerMinute, rest: Duration, now: Instant) {
        if self.ends.is_none_or(|ends| ends < now) {
            *self = Self { ends: Some(now + rest), ..Self::default() };
        }
        self.left = limit.get().saturating_sub(self.taken);
        self.unleased = 0;
    }
}

/// Rounds up to whole seconds, so that nobody comes back too early.
pub fn whole_seconds(rest: Duration) -> u32 {
    u32::try_from(rest.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX).max(1)
}

/// Counts within the current minute (UTC) of this process's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct MinuteCount {
    minute: i64,
    count: u32,
}

impl MinuteCount {
    /// Counts one more at `now`; returns the status, and whether it is within the limit.
    pub fn count(&mut self, limit: PerMinute, now: jiff::Timestamp) -> (RateLimitStatus, bool) {
        self.begin(now);
        let within = self.count < limit.get();
        self.count = self.count.saturating_add(1);
        let status = RateLimitStatus {
            limit: limit.get(),
            remaining: limit.get().saturating_sub(self.count),
            reset_seconds: u32::try_from(60 - now.as_second().rem_euclid(60)).unwrap_or(60),
        };
        (status, within)
    }

    /// Whether the limit is used up at `now`.
    pub fn is_used_up(mut self, limit: PerMinute, now: jiff::Timestamp) -> bool {
        self.begin(now);
        self.count >= limit.get()
    }

    fn begin(&mut self, now: jiff::Timestamp) {
        let minute = now.as_second().div_euclid(60);
        if self.minute != minute {
            *self = Self { minute, count: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(minute: i64, granted: u32, unleased: u32) -> Lease {
        Lease { minute, rest: Duration::from_millis(1500), granted, unleased }
    }

    fn remaining(take: Take) -> u32 {
        match take {
            Take::Token(status) => status.remaining,
            other => panic!("no token: {other:?}"),
        }
    }

    #[test]
    fn tokens_are_taken_until_their_minute_ends() {
        let limit = PerMinute::new(20).unwrap();
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        assert_eq!(tokens.take(limit, now), Take::Empty, "nothing was leased yet");
        tokens.add(lease(7, 2, 18), now);
        assert_eq!(
            tokens.take(limit, now),
            Take::Token(RateLimitStatus { limit: 20, remaining: 19, reset_seconds: 2 })
        );
        tokens.add(lease(7, 2, 0), now);
        assert_eq!(remaining(tokens.take(limit, now)), 2, "tokens of one minute add up");
        assert_eq!(remaining(tokens.take(limit, now)), 1);
        assert_eq!(remaining(tokens.take(limit, now)), 0);
        let used_up = Take::UsedUp(RateLimitStatus { limit: 20, remaining: 0, reset_seconds: 2 });
        assert_eq!(tokens.take(limit, now), used_up);
        assert_eq!(tokens.take(limit, now + Duration::from_secs(2)), Take::Empty, "a new minute");
        tokens.add(lease(7, 5, 3), now);
        tokens.add(lease(8, 1, 0), now);
        assert_eq!(remaining(tokens.take(limit, now)), 0, "tokens of an earlier minute are gone");
    }

    #[test]
    fn a_token_that_is_given_back_can_be_taken_again() {
        let limit = PerMinute::new(20).unwrap();
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        tokens.give_back(now);
        assert_eq!(tokens.take(limit, now), Take::Empty, "nothing was taken");
        tokens.add(lease(7, 2, 0), now);
        assert_eq!(remaining(tokens.take(limit, now)), 1);
        tokens.give_back(now);
        assert_eq!(remaining(tokens.take(limit, now)), 1);
        tokens.give_back(now + Duration::from_secs(2));
        assert_eq!(tokens, Tokens { taken: 1, left: 1, ..tokens }, "not after its minute");
    }

    #[test]
    fn a_tenants_limit_follows_its_keys_where_it_is_not_set() {
        let limit = PerMinute::new;
        let other = TenantId(uuid::Uuid::from_u128(7));
        let following = TenantLimits::following(limit(10));
        assert_eq!((following.of(DEFAULT_TENANT), following.of(other)), (None, limit(80)));
        assert_eq!(TenantLimits::following(None).of(other), None);
        assert_eq!(TenantLimits::following(limit(u32::MAX)).of(other), limit(u32::MAX));
        assert_eq!(TenantLimits::all(limit(5)).of(DEFAULT_TENANT), limit(5));
    }

    #[test]
    fn without_tokens_a_lease_is_asked_for_while_there_are_some() {
        let limit = PerMinute::new(5).unwrap();
        assert_eq!(limit.share(), 1);
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        assert_eq!(tokens.lacking(3, now), 3);
        tokens.add(lease(1, 0, 1), now);
        assert_eq!(tokens.take(limit, now), Take::Empty);
        tokens.add(lease(1, 2, 1), now);
        assert_eq!(tokens.lacking(3, now), 1, "two are there");
        assert_eq!(tokens.lacking(3, now + Duration::from_secs(2)), 3, "and gone with the minute");
        tokens.add(lease(1, 0, 0), now);
        assert_eq!(tokens.lacking(3, now), 0, "there is nothing to be leased");
    }

    #[test]
    fn without_a_lease_a_replica_grants_the_limit_by_itself() {
        let limit = PerMinute::new(5).unwrap();
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let rest = Duration::from_secs(9);
        tokens.grant_unleased(limit, rest, now);
        assert_eq!(remaining(tokens.take(limit, now)), 4);
        tokens.grant_unleased(limit, rest, now);
        assert_eq!(remaining(tokens.take(limit, now)), 3, "it is granted once a minute");
        assert_eq!(tokens.lacking(9, now), 0, "nothing is leased meanwhile");
        let later = now + Duration::from_secs(10);
        assert_eq!(tokens.take(limit, later), Take::Empty, "then a lease is tried again");
        tokens.add(lease(7, 2, 3), later);
        assert_eq!(remaining(tokens.take(limit, later)), 4, "nothing granted is kept");
        tokens.grant_unleased(limit, rest, later);
        assert_eq!(remaining(tokens.take(limit, later)), 3, "a minute under way goes on");
        let ended = later + Duration::from_secs(2);
        assert_eq!(tokens.take(limit, ended), Take::Empty, "it ends as it would have");
    }

    #[test]
    fn a_count_begins_anew_with_the_minute() {
        let limit = PerMinute::new(2).unwrap();
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        let mut count = MinuteCount::default();
        let status =
            |remaining, reset_seconds| RateLimitStatus { limit: 2, remaining, reset_seconds };
        assert_eq!(count.count(limit, at(61)), (status(1, 59), true));
        assert!(!count.is_used_up(limit, at(61)));
        assert_eq!(count.count(limit, at(119)), (status(0, 1), true));
        assert!(count.is_used_up(limit, at(119)));
        assert_eq!(count.count(limit, at(119)), (status(0, 1), false));
        assert!(!count.is_used_up(limit, at(120)));
        assert_eq!(count.count(limit, at(120)), (status(1, 60), true));
    }
}
