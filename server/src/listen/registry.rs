//! All open connections: how many there are, which give way when room is needed, and the end of all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;
use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use super::activity::{ConnectionActivity, Standing};
use crate::domain::access::client::ClientNetwork;

/// The share of the connection limit that unauthenticated connections of one network may hold, and how many they may at
/// least.
const NETWORK_SHARE: u32 = 10;
const NETWORK_MIN: u32 = 64;
/// The part of a limit that is evicted at once, since each time all connections are looked at.
const BATCH: usize = 64;
/// The part of all connections that is for clients who only just came: up to it, all others give way to them.
const FRESH: usize = 8;
/// How long nobody is looked for again after too few were found.
const PAUSE: Duration = Duration::from_millis(10);
/// A limit is logged no more often than this.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// All open connections of a listener.
#[derive(Debug)]
pub(super) struct Registry {
    pub limits: Limits,
    pub slots: Arc<Semaphore>,
    open: IntGauge,
    /// From now on every answer is the last of its connection.
    pub last_answers: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    connections: HashMap<u64, Arc<Tracked>>,
    networks: HashMap<ClientNetwork, Network>,
    /// When the limit of a network was logged last.
    logged: Option<Instant>,
}

/// The connections of one network.
#[derive(Debug, Default)]
struct Network {
    open: u32,
    strangers: Arc<Strangers>,
    /// Until when nobody is looked for.
    pause: Option<Instant>,
}

/// The number of a network's connections that have not shown a valid key yet, and were not asked to give way.
#[derive(Debug, Default)]
struct Strangers(AtomicU32);

/// An open connection, as others see it.
#[derive(Debug)]
pub(super) struct Tracked {
    pub activity: Arc<ConnectionActivity>,
    /// `None` of a trusted proxy.
    network: Option<(ClientNetwork, Arc<Strangers>)>,
    /// Whether it is one of its network's strangers.
    is_stranger: AtomicBool,
    /// An [`Asked`].
    asked: AtomicU8,
    task: AtomicWaker,
}

/// What a connection is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Asked {
    /// Go on.
    Nothing,
    /// Close once it waits for its client.
    GiveWay,
    /// Close at once, unless its client is authenticated.
    GiveWayNow,
    /// Close after the request in progress.
    End,
}

/// The place of an open connection, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    id: u64,
    registry: Arc<Registry>,
    pub connection: Arc<Tracked>,
    _slot: OwnedSemaphorePermit,
}

impl Registry {
    /// No connections yet. `open` counts them.
    pub(super) fn new(limits: Limits, open: IntGauge) -> Arc<Self> {
        let slots = Arc::new(Semaphore::new(limits.connections as usize));
        let (last_answers, state) = (AtomicBool::new(false), Mutex::default());
        Arc::new(Self { limits, slots, open, last_answers, state })
    }

    /// Adds a connection of `peer`, for which connections of its network give way where too many are unauthenticated.
    pub(super) fn open(self: &Arc<Self>, peer: IpAddr, slot: OwnedSemaphorePermit) -> Place {
        let mut state = self.state();
        let network = (!self.limits.proxies.trusts(peer)).then(|| {
            let network = ClientNetwork::of(peer);
            state.limit(network, peer, &self.limits);
            let of = state.networks.entry(network).or_default();
            of.open += 1;
            of.strangers.0.fetch_add(1, Ordering::Relaxed);
            (network, of.strangers.clone())
        });
        let connection = Arc::new(Tracked {
            activity: Arc::new(ConnectionActivity::new()),
            is_stranger: AtomicBool::new(network.is_some()),
            network,
            asked: AtomicU8::new(Asked::Nothing as u8),
            task: AtomicWaker::new(),
        });
        let id = state.next;
        state.next += 1;
        state.connections.insert(id, connection.clone());
        drop(state);
        self.open.inc();
        Place { id, registry: self.clone(), connection, _slot: slot }
    }

    /// Asks connections to give way to a new one: first those that wait for somebody unauthenticated, then those that wait
    /// for a request, and of each the longest waiting. No request of an authenticated client is cut.
    pub(super) fn make_room(&self) {
        let most = (self.limits.connections as usize / BATCH).max(1);
        let fresh = self.limits.connections as usize / FRESH;
        self.state().evict(most, fresh, |_| true);
    }

    /// Whether so many connections are open that nobody is waited for out of courtesy.
    pub(super) fn is_crowded(&self) -> bool {
        self.slots.available_permits() * 4 < self.limits.connections as usize
    }

    /// Asks all connections to end after the request in progress.
    pub(super) fn end(&self) {
        for connection in self.state().connections.values() {
            connection.ask(Asked::End);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Has waiting connections of a network's strangers give way to one more, where there are as many as it may have. So one
    /// address cannot take all connections; and since none is refused, it locks out nobody who comes through the same proxy.
    fn limit(&mut self, network: ClientNetwork, peer: IpAddr, limits: &Limits) {
        let most = (limits.connections / NETWORK_SHARE).max(NETWORK_MIN);
        let Some(of) = self.networks.get(&network) else { return };
        let strangers = of.strangers.clone();
        let count = strangers.0.load(Ordering::Relaxed);
        let now = Instant::now();
        if count < most || of.pause.is_some_and(|until| now < until) {
            return;
        }
        if is_due(&mut self.logged) {
            tracing::warn!(
                "{peer} has {count} connections without a valid key, as many as one address may have; for new ones of it those that wait the longest are closed; if it is a proxy, name it in TRUST_PROXY"
            );
        }
        let wanted = (count - most) as usize + (most as usize / BATCH).max(1);
        let evicted = self.evict(wanted, 0, |found| {
            found.standing != Standing::Serving && found.connection.is_one_of(&strangers)
        });
        if evicted < wanted
            && let Some(of) = self.networks.get_mut(&network)
        {
            of.pause = Some(now + PAUSE);
        }
    }

    /// Asks up to `most` connections to give way, out of those that are `eligible`. Fresh ones go last where there
    /// are no more than `fresh` of them. Returns how many it has asked.
    fn evict(&self, most: usize, fresh: usize, eligible: impl Fn(&Candidate<'_>) -> bool) -> usize {
        let now = Instant::now();
        let candidate = |connection| Candidate::of(connection, now);
        let candidates = self.connections.values().filter_map(candidate);
        let mut found: Vec<_> = candidates.filter(|found| eligible(found)).collect();
        let few = found.iter().filter(|found| found.standing == Standing::Fresh).count() <= fresh;
        if most < found.len() {
            found.select_nth_unstable_by_key(most, |found| found.order(few));
            found.truncate(most);
        }
        for found in &found {
            found.connection.no_longer_a_stranger();
            found.connection.ask(match found.standing {
                Standing::Serving => Asked::GiveWayNow,
                Standing::Waiting | Standing::Fresh | Standing::Idle => Asked::GiveWay,
            });
        }
        found.len()
    }
}

/// A connection that may be evicted.
struct Candidate<'a> {
    connection: &'a Tracked,
    standing: Standing,
    since: Instant,
}

impl<'a> Candidate<'a> {
    /// None of one that may not, or was asked to go already.
    fn of(connection: &'a Arc<Tracked>, now: Instant) -> Option<Self> {
        let asked = connection.asked.load(Ordering::Relaxed);
        let (standing, since) = connection.activity.standing(now)?;
        (asked == Asked::Nothing as u8).then_some(Self { connection, standing, since })
    }

    /// The least is evicted first. `few`: whether all others go before fresh ones.
    fn order(&self, few: bool) -> (bool, Standing, Instant) {
        let is_spared = few && self.standing == Standing::Fresh;
        (is_spared, self.standing, self.since)
    }
}

impl Tracked {
    /// Records that the current request showed a valid key or token.
    pub(super) fn authenticate(&self) {
        self.activity.authenticate();
        self.no_longer_a_stranger();
    }

    /// What the connection is to do now; the task of `cx` is woken when that changes.
    pub(super) fn asked(&self, cx: &Context<'_>) -> Asked {
        self.task.register(cx.waker());
        let asked = self.asked.load(Ordering::Acquire);
        if asked == Asked::Nothing as u8 {
            return Asked::Nothing;
        }
        if asked == Asked::End as u8 {
            return Asked::End;
        }
        match self.activity.standing(Instant::now()) {
            Some((Standing::Serving, _)) if asked == Asked::GiveWay as u8 => Asked::Nothing,
            Some(_) => Asked::GiveWay,
            // Somebody authenticated uses it by now.
            None => {
                let nothing = Asked::Nothing as u8;
                let (now, otherwise) = (Ordering::Relaxed, Ordering::Relaxed);
                self.asked.compare_exchange(asked, nothing, now, otherwise).ok();
                Asked::Nothing
            }
        }
    }

    fn ask(&self, asked: Asked) {
        self.asked.store(asked as u8, Ordering::Release);
        self.task.wake();
    }

    fn is_one_of(&self, strangers: &Arc<Strangers>) -> bool {
        self.is_stranger.load(Ordering::Relaxed)
            && self.network.as_ref().is_some_and(|(_, of)| Arc::ptr_eq(of, strangers))
    }

    fn no_longer_a_stranger(&self) {
        if let Some((_, strangers)) = &self.network
            && self.is_stranger.load(Ordering::Relaxed)
            && self.is_stranger.swap(false, Ordering::Relaxed)
        {
            strangers.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connection.no_longer_a_stranger();
        let mut state = self.registry.state();
        state.connections.remove(&self.id);
        if let Some((network, _)) = &self.connection.network
            && let Some(of) = state.networks.get_mut(network)
        {
            of.open -= 1;
            if of.open == 0 {
                state.networks.remove(network);
            }
        }
        drop(state);
        self.registry.open.dec();
    }
}

/// Whether a limit is to be logged that was `logged` last; if so, it now is.
pub(super) fn is_due(logged: &mut Option<Instant>) -> bool {
    let is_due = logged.is_none_or(|at| at.elapsed() > LOG_EVERY);
    if is_due {
        *logged = Some(Instant::now());
    }
    is_due
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn registry(connections: u32) -> Arc<Registry> {
        let open = IntGauge::new("open", "open connections").unwrap();
        Registry::new(Limits { connections, ..Limits::default() }, open)
    }

    fn open(registry: &Arc<Registry>, last: u8) -> Place {
        let slot = registry.slots.clone().try_acquire_owned().unwrap();
        registry.open(Ipv4Addr::new(192, 0, 2, last).into(), slot)
    }

    fn asked(place: &Place) -> bool {
        place.connection.asked.load(Ordering::Relaxed) != Asked::Nothing as u8
    }

    #[test]
    fn all_others_go_before_those_who_only_just_came_unless_these_are_many() {
        let registry = registry(10);
        let place = open(&registry, 1);
        let began = Instant::now();
        let ordered = |few| {
            let of = |(standing, seconds)| Candidate {
                connection: &place.connection,
                standing,
                since: began + Duration::from_secs(seconds),
            };
            let mut all = [
                (Standing::Serving, 2),
                (Standing::Idle, 1),
                (Standing::Fresh, 9),
                (Standing::Waiting, 4),
                (Standing::Waiting, 3),
            ]
            .map(of);
            all.sort_by_key(|candidate| candidate.order(few));
            all.map(|candidate| (candidate.standing, (candidate.since - began).as_secs()))
        };
        let [first, second] = [(Standing::Waiting, 3), (Standing::Waiting, 4)];
        let (fresh, idle, last) =
            ((Standing::Fresh, 9), (Standing::Idle, 1), (Standing::Serving, 2));
        assert_eq!(ordered(true), [first, second, idle, last, fresh]);
        assert_eq!(ordered(false), [first, second, fresh, idle, last]);
    }

    #[test]
    fn strangers_of_a_network_give_way_to_each_other() {
        let registry = registry(1000);
        let served = open(&registry, 1);
        let request = served.connection.activity.request();
        let known = open(&registry, 1);
        known.connection.authenticate();
        let elsewhere = open(&registry, 2);
        let strangers: Vec<Place> = (0..98).map(|_| open(&registry, 1)).collect();
        assert!(!strangers.iter().any(asked), "99 may be there");
        let more: Vec<Place> = (0..3).map(|_| open(&registry, 1)).collect();
        let gone = strangers.iter().map(asked).collect::<Vec<_>>();
        assert!(
            gone[0] && gone[1] && !gone[2],
            "the oldest go, one for each that comes beyond 100"
        );
        assert!(![&served, &known, &elsewhere].into_iter().chain(&more).any(asked));
        drop((request, served, known, elsewhere, strangers, more));
        assert!(registry.state().networks.is_empty());
        assert_eq!((registry.open.get(), registry.slots.available_permits()), (0, 1000));
    }

    #[test]
    fn whoever_has_authenticated_himself_meanwhile_stays() {
        let registry = registry(1);
        let place = open(&registry, 1);
        let asks = || place.connection.asked(&Context::from_waker(std::task::Waker::noop()));
        registry.make_room();
        assert_eq!(asks(), Asked::GiveWay);
        let request = place.connection.activity.request();
        assert_eq!(asks(), Asked::Nothing, "it is being served");
        drop(request);
        assert_eq!(asks(), Asked::GiveWay, "in vain");
        let _request = place.connection.activity.request();
        place.connection.authenticate();
        assert_eq!(asks(), Asked::Nothing);
        assert!(!asked(&place));
        registry.end();
        assert_eq!(asks(), Asked::End);
    }
}
