//! Leader election: of several operators one works, the one that holds the Lease.
//!
//! Written here because the crates at hand do not renew with a precondition or do not notice that a
//! Lease ran out while the API server was away; both would let two operators work at once. The rules
//! are those of client-go: every write carries the resourceVersion that was read, and whether another
//! holder is dead is judged by our own clock, from when we saw its record change last.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Resource as _};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The name of the Lease in the operator's own namespace.
pub const LEASE_NAME: &str = "agentfs-operator";
/// How long a Lease holds without being renewed.
const DURATION: Duration = Duration::from_secs(15);
/// How often the holder renews.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// A holder that could not renew for this long stops working, well before others may take over.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often the others look, and the holder tries again after a failure.
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// Why the leadership was lost.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Another operator holds the Lease.
    #[error("the Lease {LEASE_NAME} is held by {0} now; this operator stops working")]
    TakenBy(String),
    /// The Lease could not be renewed in time.
    #[error(
        "the Lease {LEASE_NAME} could not be renewed in time: {0}; this operator stops working"
    )]
    NotRenewed(String),
}

/// One candidate.
pub struct Election {
    leases: Api<Lease>,
    identity: String,
}

impl Election {
    /// A candidate called `identity`, for the Lease in `namespace`.
    pub fn new(client: Client, namespace: &str, identity: String) -> Self {
        Self { leases: Api::namespaced(client, namespace), identity }
    }

    /// Waits until this candidate holds the Lease; `None` when `stop` came first.
    pub async fn acquire(&self, stop: &CancellationToken) -> Option<Held<'_>> {
        let mut seen: Option<(Option<String>, Instant)> = None;
        loop {
            match self.attempt(&mut seen).await {
                Ok(Some(lease)) => return Some(Held { election: self, lease }),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot read or take the Lease {LEASE_NAME}, trying again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = sleep(RETRY_EVERY) => {}
            }
        }
    }

    /// One look at the Lease, and the taking of it where it is free.
    async fn attempt(
        &self,
        seen: &mut Option<(Option<String>, Instant)>,
    ) -> Result<Option<Lease>, kube::Error> {
        let Some(lease) = self.leases.get_opt(LEASE_NAME).await? else {
            let lease = self.taken(Lease {
                metadata: ObjectMeta { name: Some(LEASE_NAME.into()), ..ObjectMeta::default() },
                spec: None,
            });
            return won(self.leases.create(&PostParams::default(), &lease).await);
        };
        let version = lease.meta().resource_version.clone();
        let unchanged = match seen {
            Some((before, since)) if *before == version => since.elapsed(),
            _ => {
                *seen = Some((version, Instant::now()));
                Duration::ZERO
            }
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if !may_take(&spec, &self.identity, unchanged) {
            return Ok(None);
        }
        won(self.leases.replace(LEASE_NAME, &PostParams::default(), &self.taken(lease)).await)
    }

    /// The Lease as it is once this candidate has it.
    fn taken(&self, mut lease: Lease) -> Lease {
        let before = lease.spec.unwrap_or_default();
        let now = MicroTime(Timestamp::now());
        let transitions = before.lease_transitions.unwrap_or(0);
        let again = before.holder_identity.as_deref() == Some(&self.identity);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(if again {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..LeaseSpec::default()
        });
        lease
    }
}

/// The Lease, held.
pub struct Held<'a> {
    election: &'a Election,
    lease: Lease,
}

impl Held<'_> {
    /// Renews the Lease until it is lost.
    pub async fn keep(&mut self) -> Lost {
        let mut renewed = Instant::now();
        loop {
            sleep(RENEW_EVERY).await;
            loop {
                let left = RENEW_DEADLINE.saturating_sub(renewed.elapsed());
                let error = match timeout(left, self.renew()).await {
                    Ok(Ok(())) => break renewed = Instant::now(),
                    Ok(Err(Renewal::Taken(by))) => return Lost::TakenBy(by),
                    Ok(Err(Renewal::Failed(error))) => error.to_string(),
                    Err(_) => "the API server does not answer".to_owned(),
                };
                if renewed.elapsed() + RETRY_EVERY >= RENEW_DEADLINE {
                    return Lost::NotRenewed(error);
                }
                tracing::warn!(%error, "cannot renew the Lease {LEASE_NAME}, trying again");
                sleep(RETRY_EVERY).await;
            }
        }
    }

    async fn renew(&mut self) -> Result<(), Renewal> {
        let mut lease = self.lease.clone();
        if let Some(spec) = &mut lease.spec {
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        let leases = &self.election.leases;
        match leases.replace(LEASE_NAME, &PostParams::default(), &lease).await {
            Ok(lease) => self.lease = lease,
            // Somebody wrote: another holder, or a hand that changed a label.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                let now = leases.get_opt(LEASE_NAME).await.map_err(Renewal::Failed)?;
                let holder = now
                    .as_ref()
                    .and_then(|lease| lease.spec.as_ref()?.holder_identity.clone())
                    .unwrap_or_default();
                match now {
                    Some(lease) if holder == self.election.identity => self.lease = lease,
                    _ if holder.is_empty() => return Err(Renewal::Taken("nobody".into())),
                    _ => return Err(Renewal::Taken(holder)),
                }
            }
            Err(error) => return Err(Renewal::Failed(error)),
        }
        Ok(())
    }

    /// Gives the Lease up, so that another operator takes over at once.
    pub async fn release(mut self) {
        if let Some(spec) = &mut self.lease.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        let leases = &self.election.leases;
        let params = PostParams::default();
        let release = leases.replace(LEASE_NAME, &params, &self.lease);
        match timeout(RETRY_EVERY, release).await {
            Ok(Ok(_)) => tracing::info!("gave the Lease {LEASE_NAME} up"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "could not give the Lease up; it runs out by itself");
            }
            Err(_) => tracing::warn!("could not give the Lease up in time; it runs out by itself"),
        }
    }
}

enum Renewal {
    Taken(String),
    Failed(kube::Error),
}

/// The outcome of a write that only one candidate can win.
fn won(written: Result<Lease, kube::Error>) -> Result<Option<Lease>, kube::Error> {
    match written {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a candidate may take a Lease whose record has not changed for `unchanged`.
fn may_take(spec: &LeaseSpec, identity: &str, unchanged: Duration) -> bool {
    match spec.holder_identity.as_deref() {
        None | Some("") => true,
        Some(holder) if holder == identity => true,
        Some(_) => {
            let seconds =
                spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            unchanged >= seconds.map_or(DURATION, Duration::from_secs)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_free_lease_and_ones_own_are_taken_at_once() {
        assert!(may_take(&LeaseSpec::default(), "a", Duration::ZERO));
        assert!(may_take(&held_by(""), "a", Duration::ZERO));
        assert!(may_take(&held_by("a"), "a", Duration::ZERO));
    }

    #[test]
    fn anothers_lease_is_taken_only_when_it_was_silent_for_its_whole_time() {
        assert!(!may_take(&held_by("b"), "a", Duration::from_millis(14_900)));
        assert!(may_take(&held_by("b"), "a", Duration::from_secs(15)));
    }
}
