//! A semaphore that is fair among the tenants, or other owners, that wait for its permits.
//!
//! While nobody waits, everybody gets what is free. While several wait, the next permits go to the one that holds the fewest
//! (max-min fairness): one that holds many gets no more of them before the others have as many. Where permits are held for long,
//! some can be kept back from whoever holds half of all, so that the next owner waits for nobody.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Whoever permits are shared out among.
pub trait Owner: Eq + Hash + Clone {}

impl<K: Eq + Hash + Clone> Owner for K {}

/// A number of permits, shared out among owners of the type `K`. Clones share them.
#[derive(Debug, Clone)]
pub struct FairSemaphore<K: Owner>(Arc<Mutex<State<K>>>);

/// Permits of one owner, which are given back when this is dropped.
#[derive(Debug)]
pub struct Permits<K: Owner> {
    semaphore: FairSemaphore<K>,
    owner: K,
    number: u64,
}

#[derive(Debug)]
struct State<K> {
    total: u64,
    free: u64,
    kept_back: KeptBack,
    /// Who holds permits, and how many.
    held: HashMap<K, u64>,
    /// What waits, by its owner; an owner of which nothing waits is not in it.
    waiting: HashMap<K, VecDeque<Waiting>>,
    /// The owners that wait. Who was served the longest ago comes first.
    turns: VecDeque<K>,
}

/// The permits that an owner leaves free for others.
#[derive(Debug, Clone, Copy)]
enum KeptBack {
    /// This number, if it would hold more than half of all.
    Number(u64),
    /// As many as it would hold.
    AsManyAsHeld,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    grant: oneshot::Sender<()>,
}

/// The other end of [`Waiting`].
struct Waiter<'a, K: Owner> {
    semaphore: &'a FairSemaphore<K>,
    owner: K,
    number: u64,
    granted: oneshot::Receiver<()>,
}

impl<K: Owner> FairSemaphore<K> {
    /// A semaphore of `total` permits.
    pub fn new(total: u64) -> Self {
        Self::keeping_back(total, 0)
    }

    /// A semaphore of `total` permits. An owner that would hold more than half of them leaves `kept_back` free.
    pub fn keeping_back(total: u64, kept_back: u64) -> Self {
        // One permit must be there for whoever holds none.
        Self::of(total, KeptBack::Number(kept_back.min(total.saturating_sub(1))))
    }

    /// A semaphore of `total` permits. An owner that holds some gets more only where it then leaves as many free as it holds: of
    /// `n` owners that take all they get, each has one of `n + 1` parts, and one part is left for whoever comes next.
    pub fn keeping_as_many_back(total: u64) -> Self {
        Self::of(total, KeptBack::AsManyAsHeld)
    }

    fn of(total: u64, kept_back: KeptBack) -> Self {
        let state = State {
            total,
            free: total,
            kept_back,
            held: HashMap::new(),
            waiting: HashMap::new(),
            turns: VecDeque::new(),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Waits for `number` permits; more than there are in all counts as all. Whoever stops to wait takes none.
    pub async fn acquire(&self, owner: K, number: u64) -> Permits<K> {
        let mut waiter = {
            let mut state = self.state();
            let number = number.min(state.total);
            if state.take(&owner, number) {
                drop(state);
                return Permits { semaphore: self.clone(), owner, number };
            }
            let granted = state.wait(owner.clone(), number);
            // Those before may only be kept from permits that this one may take.
            state.serve();
            Waiter { semaphore: self, owner, number, granted }
        };
        // The state keeps the sender until it grants.
        (&mut waiter.granted).await.ok();
        let Waiter { ref owner, number, .. } = waiter;
        Permits { semaphore: self.clone(), owner: owner.clone(), number }
    }

    /// Takes `number` permits if they are free and nobody waits.
    pub fn try_acquire(&self, owner: K, number: u64) -> Option<Permits<K>> {
        let taken = self.state().take(&owner, number);
        taken.then(|| Permits { semaphore: self.clone(), owner, number })
    }

    /// How many requests of `owner` wait.
    pub fn waiting(&self, owner: &K) -> usize {
        self.state().waiting.get(owner).map_or(0, VecDeque::len)
    }

    /// The permits that nobody holds.
    pub fn free(&self) -> u64 {
        self.state().free
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Owner> Permits<K> {
    /// How many there are.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Takes `number` of them away from these, or all if there are fewer.
    #[must_use]
    pub fn split(&mut self, number: u64) -> Self {
        let number = number.min(self.number);
        self.number -= number;
        Self { semaphore: self.semaphore.clone(), owner: self.owner.clone(), number }
    }

    /// Adds `others`, of the same owner, to these.
    pub fn merge(&mut self, mut others: Self) {
        debug_assert!(self.owner == others.owner, "permits of two owners");
        self.number += std::mem::take(&mut others.number);
    }

    /// Keeps `number` of them, and gives the others back.
    pub fn shrink(&mut self, number: u64) {
        let others = self.number.saturating_sub(number);
        self.number -= others;
        self.semaphore.state().give_back(&self.owner, others);
    }
}

impl<K: Owner> Drop for Permits<K> {
    fn drop(&mut self) {
        self.semaphore.state().give_back(&self.owner, self.number);
    }
}

impl<K: Owner> Drop for Waiter<'_, K> {
    fn drop(&mut self) {
        let mut state = self.semaphore.state();
        // Granted and taken, the receiver is empty; what was granted and not taken goes back.
        self.granted.close();
        if self.granted.try_recv().is_ok() {
            state.give_back(&self.owner, self.number);
        } else {
            state.forget(&self.owner);
        }
    }
}

impl<K: Owner> State<K> {
    fn take(&mut self, owner: &K, number: u64) -> bool {
        let somebody_waits = self.waiting.contains_key(owner) || self.next().is_some();
        let is_free = !somebody_waits && self.fits(owner, number);
        if is_free {
            self.hold(owner, number);
        }
        is_free
    }

    fn fits(&self, owner: &K, number: u64) -> bool {
        let would_hold = self.held(owner) + number;
        let kept_back = match self.kept_back {
            KeptBack::Number(number) if would_hold > self.total.div_ceil(2) => number,
            KeptBack::Number(_) => 0,
            KeptBack::AsManyAsHeld => would_hold,
        };
        // Whoever needs nearly all gets them once nobody else holds any.
        number + kept_back <= self.free || (number <= self.free && would_hold == number)
    }

    fn held(&self, owner: &K) -> u64 {
        self.held.get(owner).copied().unwrap_or_default()
    }

    fn hold(&mut self, owner: &K, number: u64) {
        self.free -= number;
        *self.held.entry(owner.clone()).or_default() += number;
    }

    fn wait(&mut self, owner: K, number: u64) -> oneshot::Receiver<()> {
        let (grant, granted) = oneshot::channel();
        let queue = self.waiting.entry(owner.clone()).or_insert_with(|| {
            self.turns.push_back(owner);
            VecDeque::new()
        });
        queue.push_back(Waiting { number, grant });
        granted
    }

    fn give_back(&mut self, owner: &K, number: u64) {
        self.free += number;
        if let Some(held) = self.held.get_mut(owner) {
            *held = held.saturating_sub(number);
            if *held == 0 {
                self.held.remove(owner);
            }
        }
        self.serve();
    }

    /// Forgets what no longer waits of `owner`. What waits behind it may fit.
    fn forget(&mut self, owner: &K) {
        let Some(queue) = self.waiting.get_mut(owner) else { return };
        queue.retain(|waiting| !waiting.grant.is_closed());
        if queue.is_empty() {
            self.waiting.remove(owner);
            self.turns.retain(|waits| waits != owner);
        }
        self.serve();
    }

    /// Whose turn it is. Those for whom there are permits that are kept back from them are in nobody's way.
    fn next(&self) -> Option<usize> {
        let is_kept_back = |owner: &K| {
            let first = self.waiting.get(owner).and_then(VecDeque::front);
            first.is_some_and(|first| first.number <= self.free && !self.fits(owner, first.number))
        };
        let turns = self.turns.iter().enumerate().filter(|(_, owner)| !is_kept_back(owner));
        turns.min_by_key(|(_, owner)| self.held(owner)).map(|(place, _)| place)
    }

    /// Serves those that wait while permits are left. One that needs many is not passed over for one that needs few.
    fn serve(&mut self) {
        while self.serve_next().is_some() {}
    }

    /// None if nobody waits, or there is too little for whose turn it is.
    fn serve_next(&mut self) -> Option<()> {
        let place = self.next()?;
        let owner = self.turns.get(place)?.clone();
        let number = self.waiting.get(&owner)?.front()?.number;
        if !self.fits(&owner, number) {
            return None;
        }
        self.turns.remove(place);
        let queue = self.waiting.get_mut(&owner)?;
        let next = queue.pop_front()?;
        if queue.is_empty() {
            self.waiting.remove(&owner);
        } else {
            self.turns.push_back(owner.clone());
        }
        if next.grant.send(()).is_ok() {
            self.hold(&owner, number);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::{Pin, pin};
    use std::task::Poll;

    use futures::FutureExt as _;

    use super::*;

    type Tenant = &'static str;

    fn all(semaphore: &FairSemaphore<Tenant>, owner: Tenant) -> Permits<Tenant> {
        semaphore.try_acquire(owner, semaphore.free()).unwrap()
    }

    async fn is_waiting<F: Future>(mut future: Pin<&mut F>) -> bool {
        poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn who_holds_least_comes_first() {
        let semaphore = FairSemaphore::new(4);
        let mut of_a = all(&semaphore, "a");
        let mut more_of_a = pin!(semaphore.acquire("a", 1));
        let mut of_b = pin!(semaphore.acquire("b", 1));
        let mut more_of_b = pin!(semaphore.acquire("b", 1));
        assert!(is_waiting(more_of_a.as_mut()).await);
        assert!(is_waiting(of_b.as_mut()).await && is_waiting(more_of_b.as_mut()).await);
        of_a.shrink(3);
        let _of_b = of_b.await;
        assert!(is_waiting(more_of_a.as_mut()).await && is_waiting(more_of_b.as_mut()).await);
        of_a.shrink(2);
        let _more_of_b = more_of_b.await;
        assert!(is_waiting(more_of_a.as_mut()).await);
        of_a.shrink(1);
        let _more_of_a = more_of_a.await;
        assert_eq!(semaphore.free(), 0);
    }

    #[tokio::test]
    async fn those_that_hold_alike_take_turns() {
        let semaphore = FairSemaphore::new(1);
        let held = all(&semaphore, "x");
        let served = Mutex::new(Vec::new());
        let waiters = ["a", "a", "a", "b", "c", "c"].map(|owner| {
            let (semaphore, served) = (semaphore.clone(), &served);
            async move {
                let _permits = semaphore.acquire(owner, 1).await;
                served.lock().unwrap().push(owner);
            }
        });
        let mut waiters = pin!(futures::future::join_all(waiters));
        assert!(is_waiting(waiters.as_mut()).await);
        drop(held);
        waiters.await;
        assert_eq!(*served.lock().unwrap(), ["a", "b", "c", "a", "c", "a"]);
    }

    #[tokio::test]
    async fn what_is_kept_back_is_for_those_that_hold_less_than_half() {
        let semaphore = FairSemaphore::keeping_back(5, 1);
        let mut of_a: Vec<_> = (0..4).map_while(|_| semaphore.try_acquire("a", 1)).collect();
        assert_eq!(of_a.len(), 4);
        let mut more_of_a = pin!(semaphore.acquire("a", 1));
        assert!(is_waiting(more_of_a.as_mut()).await);
        assert_eq!((semaphore.free(), semaphore.waiting(&"a")), (1, 1));
        let of_b = semaphore.acquire("b", 1).now_or_never().expect("b waits for nobody");
        let mut more_of_b = pin!(semaphore.acquire("b", 1));
        assert!(is_waiting(more_of_b.as_mut()).await);
        of_a.pop();
        let _more_of_b = more_of_b.await;
        drop(of_b);
        assert!(is_waiting(more_of_a.as_mut()).await, "the last one is kept back again");
        of_a.pop();
        more_of_a.await;
        assert_eq!(FairSemaphore::keeping_back(1, 1).acquire("a", 1).await.number(), 1);
        let all = FairSemaphore::keeping_back(5, 1).acquire("a", 5).await;
        assert_eq!(all.number(), 5);
    }

    #[tokio::test]
    async fn what_is_large_is_not_passed_over() {
        let semaphore = FairSemaphore::new(4);
        let mut held = all(&semaphore, "x");
        let mut large = pin!(semaphore.acquire("a", 99));
        assert!(is_waiting(large.as_mut()).await);
        held.shrink(1);
        let mut small = pin!(semaphore.acquire("b", 1));
        assert!(is_waiting(small.as_mut()).await && is_waiting(large.as_mut()).await);
        assert!(semaphore.try_acquire("c", 1).is_none(), "nobody goes before those that wait");
        drop(held);
        assert_eq!(large.await.number(), 4);
        small.await;
        assert_eq!(semaphore.free(), 4);
    }

    #[tokio::test]
    async fn who_holds_less_goes_before_what_is_too_large() {
        let semaphore = FairSemaphore::new(4);
        let _of_a = semaphore.try_acquire("a", 2).unwrap();
        let mut more_of_a = pin!(semaphore.acquire("a", 3));
        assert!(is_waiting(more_of_a.as_mut()).await);
        assert!(semaphore.acquire("b", 2).now_or_never().is_some());
    }

    #[tokio::test]
    async fn nobody_takes_what_is_left_for_others() {
        let semaphore = FairSemaphore::keeping_as_many_back(12);
        let mut of_a: Vec<_> = (0..6).map(|_| semaphore.try_acquire("a", 1).unwrap()).collect();
        let mut more_of_a = pin!(semaphore.acquire("a", 1));
        assert!(is_waiting(more_of_a.as_mut()).await, "half of all is left");
        // It is in nobody's way, and neither is the next one.
        let of_b: Vec<_> = (0..3).map(|_| semaphore.try_acquire("b", 1).unwrap()).collect();
        assert!(semaphore.try_acquire("b", 1).is_none());
        let of_c = semaphore.try_acquire("c", 3).unwrap();
        drop(of_c);
        of_a.pop();
        assert!(is_waiting(more_of_a.as_mut()).await, "5 and 1 are more than 3");
        drop(of_b);
        more_of_a.await;
    }

    #[tokio::test]
    async fn permits_are_split_and_merged() {
        let semaphore = FairSemaphore::new(4);
        let mut permits = all(&semaphore, "x");
        let part = permits.split(3);
        assert_eq!((permits.number(), part.number(), semaphore.free()), (1, 3, 0));
        permits.merge(part);
        assert_eq!((permits.number(), semaphore.free()), (4, 0));
        drop(permits.split(9));
        assert_eq!((permits.number(), semaphore.free()), (0, 4));
    }

    #[tokio::test]
    async fn who_stops_to_wait_takes_nothing_and_is_in_nobodys_way() {
        let semaphore = FairSemaphore::new(2);
        let mut held = all(&semaphore, "x");
        let mut before = Box::pin(semaphore.acquire("a", 2));
        let mut behind = pin!(semaphore.acquire("b", 1));
        assert!(is_waiting(before.as_mut()).await && is_waiting(behind.as_mut()).await);
        held.shrink(1);
        drop(before);
        assert!(behind.as_mut().now_or_never().is_some());
        let mut granted = Box::pin(semaphore.acquire("a", 2));
        assert!(is_waiting(granted.as_mut()).await);
        drop(held);
        // Granted, and never asked for.
        drop(granted);
        assert_eq!(semaphore.free(), 2);
        assert!(semaphore.state().held.is_empty() && semaphore.state().waiting.is_empty());
    }

    #[tokio::test]
    async fn any_number_is_served_at_once() {
        const NUMBER: usize = 100_000;
        let semaphore = FairSemaphore::new(NUMBER as u64);
        let held = all(&semaphore, "x");
        let mut waiting: Vec<_> =
            (0..NUMBER).map(|_| Box::pin(semaphore.acquire("a", 1))).collect();
        for waits in &mut waiting {
            assert!(waits.as_mut().now_or_never().is_none());
        }
        drop(held);
        assert_eq!((semaphore.free(), semaphore.waiting(&"a")), (0, 0));
    }
}
