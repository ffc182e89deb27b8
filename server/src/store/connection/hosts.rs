//! The servers that a database's URL names, and which of them is connected to.
//!
//! As libpq does, the hosts are tried in their order, and the first that answers and is of the wanted kind is taken. All
//! connections go there until one fails; then it is looked for anew, first where it was. A host that only begins to fail is
//! left soon, and one that is still there costs no wait for others that are not.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::invalidation::Invalidation;
use crate::settings::{DatabaseUrl, TargetSession, endpoint};
use crate::store::StoreError;

/// Longest wait for a connection to one host.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest first look at the host that was found last, whose connections may just have vanished with it.
const LAST_TIMEOUT: Duration = Duration::from_secs(1);

/// The servers of a database; clones share which of them was found.
#[derive(Debug, Clone)]
pub(super) struct Hosts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hosts: Vec<PgConnectOptions>,
    wanted: TargetSession,
    invalidation: Invalidation,
    seen: Mutex<Seen>,
    /// Held by the one who looks for all.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The host that was found last.
    last: Option<usize>,
    /// Whether it may no longer be the right one.
    is_doubted: bool,
    /// When none was found, and why.
    failed: Option<(Instant, NoHost)>,
}

/// Why no host is connected to.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reasons}")]
struct NoHost {
    reasons: String,
    /// The URL itself cannot be used, whatever the hosts do.
    is_of_settings: bool,
}

impl From<NoHost> for sqlx::Error {
    fn from(why: NoHost) -> Self {
        if why.is_of_settings {
            Self::Configuration(why.into())
        } else {
            Self::Io(io::Error::other(why))
        }
    }
}

/// Whether an error says that no host was found.
pub(crate) fn is_no_host(error: &io::Error) -> bool {
    let cause: Option<&NoHost> = error.get_ref().and_then(|cause| cause.downcast_ref());
    cause.is_some()
}

impl Seen {
    fn found(&self) -> Option<usize> {
        self.last.filter(|_| !self.is_doubted)
    }
}

impl Hosts {
    /// The servers of `url`; nothing is connected to. Where another one is found than the last, `invalidation` renews the
    /// connections to that.
    pub(super) fn of(url: &DatabaseUrl, invalidation: Invalidation) -> Self {
        let hosts = url.hosts().iter().map(|host| {
            host.options().clone().application_name("agentfs-server").disable_statement_logging()
        });
        Self(Arc::new(Inner {
            hosts: hosts.collect(),
            wanted: url.session(),
            invalidation,
            seen: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
        }))
    }

    /// `host:port` of each, for messages.
    pub(super) fn endpoint(&self) -> String {
        self.0.hosts.iter().map(endpoint).collect::<Vec<_>>().join(",")
    }

    /// The driver's form of a host.
    pub(super) fn options(&self, index: usize) -> PgConnectOptions {
        self.0.hosts[index].clone()
    }

    /// Connects, and returns the host's index too.
    pub(super) async fn connect(&self) -> Result<(PgConnection, usize), sqlx::Error> {
        let index = self.find().await?;
        match self.connect_to(index).await {
            Err(_) if !self.is_only_one() => self.connect_to(self.find().await?).await,
            connected => connected,
        }
    }

    /// Connects to the host that was found. Where that fails, it is doubted.
    async fn connect_to(&self, index: usize) -> Result<(PgConnection, usize), sqlx::Error> {
        let connecting = PgConnection::connect_with(&self.0.hosts[index]);
        let connected = within(CONNECT_TIMEOUT, connecting).await.inspect_err(|_| self.doubt());
        Ok((connected?, index))
    }

    /// The index of the host to connect to, where it is known.
    pub(super) fn found(&self) -> Option<usize> {
        if self.is_only_one() { Some(0) } else { self.seen().found() }
    }

    /// The index of the host to connect to. Where it is not known, it is looked for, by a task of its own: whoever waits may
    /// have less patience than it takes to try all.
    pub(super) async fn find(&self) -> Result<usize, sqlx::Error> {
        if let Some(found) = self.found() {
            return Ok(found);
        }
        let (hosts, asked) = (self.clone(), Instant::now());
        let looked = tokio::spawn(async move { hosts.look(asked).await }).await;
        Ok(looked.map_err(io::Error::other)??)
    }

    /// Doubts the host that was found where an error says that it may no longer be the right one.
    pub(super) fn note(&self, error: &sqlx::Error) {
        let elsewhere = match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => true,
            sqlx::Error::Database(e) => {
                let code = e.code().unwrap_or_default();
                // A server that is read-only, shuts down, or starts.
                code == "25006" || code.starts_with("57P")
            }
            _ => false,
        };
        if elsewhere {
            self.doubt();
        }
    }

    /// Has the host looked for anew, first where it was.
    pub(super) fn doubt(&self) {
        self.seen().is_doubted = true;
    }

    /// Whether there is no choice.
    fn is_only_one(&self) -> bool {
        self.0.hosts.len() == 1 && self.0.wanted == TargetSession::Any
    }

    /// Looks for the host, unless somebody has since `asked`.
    async fn look(&self, asked: Instant) -> Result<usize, NoHost> {
        let _looking = self.0.looking.lock().await;
        let last = match &*self.seen() {
            Seen { last: Some(found), is_doubted: false, .. } => return Ok(*found),
            Seen { failed: Some((at, why)), .. } if *at >= asked => return Err(why.clone()),
            seen => seen.last,
        };
        let looked = self.look_from(last).await;
        let mut seen = self.seen();
        match &looked {
            Ok(found) => {
                seen.last = Some(*found);
                seen.is_doubted = false;
                // Connections to the former host may stay open.
                if last.is_some_and(|last| last != *found) {
                    self.0.invalidation.renew_all();
                }
            }
            Err(why) => seen.failed = Some((Instant::now(), why.clone())),
        }
        looked
    }

    /// Looks at the host that was found last for a moment, then at all others, and at it again.
    async fn look_from(&self, last: Option<usize>) -> Result<usize, NoHost> {
        if let Some(last) = last
            && let Ok(true) = self.suits(last, self.0.wanted, LAST_TIMEOUT).await
        {
            return Ok(last);
        }
        let mut order: Vec<usize> = (0..self.0.hosts.len()).collect();
        // It has just been looked at.
        order.sort_by_key(|&index| Some(index) == last);
        match self.try_each(&order, self.0.wanted).await {
            Err(_) if self.0.wanted == TargetSession::PreferStandby => {
                self.try_each(&order, TargetSession::Any).await
            }
            looked => looked,
        }
    }

    /// The first host that answers and is as wanted, or why each one is not.
    async fn try_each(&self, order: &[usize], wanted: TargetSession) -> Result<usize, NoHost> {
        let (mut reasons, mut is_of_settings) = (Vec::new(), false);
        for &index in order {
            let looked = self.suits(index, wanted, CONNECT_TIMEOUT).await;
            // User and password are the same for all.
            is_of_settings |= matches!(looked, Err(sqlx::Error::Configuration(_)));
            let why = match looked {
                Ok(true) => return Ok(index),
                Ok(false) => {
                    format!("it is not {}, as target_session_attrs demands", wanted.as_str())
                }
                Err(error) => StoreError::from(error).cause().to_string(),
            };
            reasons.push(format!("{}: {why}", endpoint(&self.0.hosts[index])));
        }
        Err(NoHost { reasons: reasons.join("; "), is_of_settings })
    }

    /// Whether a host answers and is as wanted. The whole look is bounded: a host may go silent at any step.
    async fn suits(
        &self,
        index: usize,
        wanted: TargetSession,
        patience: Duration,
    ) -> Result<bool, sqlx::Error> {
        let look = async {
            let mut connection = PgConnection::connect_with(&self.0.hosts[index]).await?;
            let suits = is_as_wanted(&mut connection, wanted).await?;
            connection.close().await.ok();
            Ok(suits)
        };
        within(patience, look).await
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends `work` that takes longer than `patience`, as if the connection had timed out.
pub(super) async fn within<T, E: From<sqlx::Error>>(
    patience: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(patience, work)
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()).into()))
}

/// Whether a session is as wanted.
async fn is_as_wanted(
    connection: &mut PgConnection,
    wanted: TargetSession,
) -> Result<bool, sqlx::Error> {
    let condition = match wanted {
        TargetSession::Any => return Ok(true),
        TargetSession::ReadWrite => "SELECT current_setting('transaction_read_only') = 'off'",
        TargetSession::ReadOnly => "SELECT current_setting('transaction_read_only') = 'on'",
        TargetSession::Primary => "SELECT NOT pg_is_in_recovery()",
        TargetSession::Standby | TargetSession::PreferStandby => "SELECT pg_is_in_recovery()",
    };
    sqlx::query_scalar(condition).fetch_one(connection).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::error::is_lost;

    #[test]
    fn that_no_host_was_found_says_nothing_of_a_connection() {
        let why = NoHost { reasons: "db:5432: refused".into(), is_of_settings: false };
        let error = sqlx::Error::from(why);
        assert!(!is_lost(&error));
        assert!(StoreError::from(error).cause().to_string().contains("db:5432: refused"));
    }
}
