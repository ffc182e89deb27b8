//! The servers that a database's URL names, and which of them is connected to.
//!
//! As libpq does, the hosts are tried in their order, and the first that answers and is of the wanted kind is taken. All
//! connections go there until it fails; then it is looked for anew.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::settings::{DatabaseUrl, TargetSession, endpoint};
use crate::store::StoreError;

/// Longest wait for a connection to one host.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The servers of a database; clones share which of them was found.
#[derive(Debug, Clone)]
pub(super) struct Hosts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hosts: Vec<PgConnectOptions>,
    wanted: TargetSession,
    seen: Mutex<Seen>,
    /// Held by the one who looks for all.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The host that was found last, until it fails.
    found: Option<usize>,
    /// When none was found, and why.
    failed: Option<(Instant, NoHost)>,
}

/// Why no host is connected to.
#[derive(Debug, Clone)]
struct NoHost {
    reasons: String,
    /// The URL itself cannot be used, whatever the hosts do.
    is_of_settings: bool,
}

impl From<NoHost> for sqlx::Error {
    fn from(NoHost { reasons, is_of_settings }: NoHost) -> Self {
        if is_of_settings {
            Self::Configuration(reasons.into())
        } else {
            Self::Io(io::Error::other(reasons))
        }
    }
}

impl Hosts {
    /// The servers of `url`; nothing is connected to.
    pub(super) fn of(url: &DatabaseUrl) -> Self {
        let hosts = url.hosts().iter().map(|host| {
            host.options().clone().application_name("agentfs-server").disable_statement_logging()
        });
        Self(Arc::new(Inner {
            hosts: hosts.collect(),
            wanted: url.session(),
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
        match connect_to(&self.0.hosts[index]).await {
            Err(_) if !self.is_only_one() => {
                self.seen().found = None;
                let index = self.find().await?;
                Ok((connect_to(&self.0.hosts[index]).await?, index))
            }
            connected => Ok((connected?, index)),
        }
    }

    /// The index of the host to connect to, where it is known.
    pub(super) fn found(&self) -> Option<usize> {
        if self.is_only_one() { Some(0) } else { self.seen().found }
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

    /// Forgets which host was found where an error says that it may no longer be the right one.
    pub(super) fn note(&self, error: &sqlx::Error) {
        let elsewhere = match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut => true,
            sqlx::Error::Database(e) => {
                let code = e.code().unwrap_or_default();
                // A server that is read-only, shuts down, or starts.
                code == "25006" || code.starts_with("57P")
            }
            _ => false,
        };
        if elsewhere {
            self.forget();
        }
    }

    /// Has the host looked for anew.
    pub(super) fn forget(&self) {
        self.seen().found = None;
    }

    /// Whether there is no choice.
    fn is_only_one(&self) -> bool {
        self.0.hosts.len() == 1 && self.0.wanted == TargetSession::Any
    }

    /// Looks for the host, unless somebody has since `asked`.
    async fn look(&self, asked: Instant) -> Result<usize, NoHost> {
        let _looking = self.0.looking.lock().await;
        match &*self.seen() {
            Seen { found: Some(found), .. } => return Ok(*found),
            Seen { failed: Some((at, why)), .. } if *at >= asked => return Err(why.clone()),
            _ => {}
        }
        let mut looked = self.try_each(self.0.wanted).await;
        if looked.is_err() && self.0.wanted == TargetSession::PreferStandby {
            looked = self.try_each(TargetSession::Any).await;
        }
        let mut seen = self.seen();
        match &looked {
            Ok(found) => seen.found = Some(*found),
            Err(why) => seen.failed = Some((Instant::now(), why.clone())),
        }
        looked
    }

    /// The first host that answers and is as wanted, or why each one is not.
    async fn try_each(&self, wanted: TargetSession) -> Result<usize, NoHost> {
        let (mut reasons, mut is_of_settings) = (Vec::new(), false);
        for (index, host) in self.0.hosts.iter().enumerate() {
            let looked = async {
                let mut connection = connect_to(host).await?;
                let suits = suits(&mut connection, wanted).await?;
                connection.close().await.ok();
                Ok::<_, sqlx::Error>(suits)
            };
            let looked = looked.await;
            // User and password are the same for all.
            is_of_settings |= matches!(looked, Err(sqlx::Error::Configuration(_)));
            let why = match looked {
                Ok(true) => return Ok(index),
                Ok(false) => {
                    format!("it is not {}, as target_session_attrs demands", wanted.as_str())
                }
                Err(error) => StoreError::from(error).cause().to_string(),
            };
            reasons.push(format!("{}: {why}", endpoint(host)));
        }
        Err(NoHost { reasons: reasons.join("; "), is_of_settings })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect_to(host: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(host))
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}

/// Whether a session is as wanted.
async fn suits(connection: &mut PgConnection, wanted: TargetSession) -> Result<bool, sqlx::Error> {
    let condition = match wanted {
        TargetSession::Any => return Ok(true),
        TargetSession::ReadWrite => "SELECT current_setting('transaction_read_only') = 'off'",
        TargetSession::ReadOnly => "SELECT current_setting('transaction_read_only') = 'on'",
        TargetSession::Primary => "SELECT NOT pg_is_in_recovery()",
        TargetSession::Standby | TargetSession::PreferStandby => "SELECT pg_is_in_recovery()",
    };
    sqlx::query_scalar(condition).fetch_one(connection).await
}
