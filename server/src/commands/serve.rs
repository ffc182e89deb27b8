//! `agentfs-server serve`: builds the API from its settings and serves it until the end.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::listening::run_listening;
use super::{in_runtime, listening};
use crate::access::authenticator::Authenticator;
use crate::access::preauth::Preauth;
use crate::access::rate_limit::RateLimiter;
use crate::access::strangers::Strangers;
use crate::domain::access::rate_limit::Limited;
use crate::embedding::embedders::{Embedders, embedders};
use crate::embedding::query_embeddings::QueryEmbeddings;
use crate::embedding::searched_by;
use crate::group_commit::queue::Queue;
use crate::group_commit::{leases, reads, writes};
use crate::http::{App, AppState, Observer, operations_router, router};
use crate::listen;
use crate::maintenance::gauges::watch;
use crate::maintenance::{backups, sweeper};
use crate::memory::Memory;
use crate::recovery::{Location, RecoveryError};
use crate::runtime::byte_budget::ByteBudget;
use crate::runtime::fair_pool::FairPool;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::runtime::replica::Replica;
use crate::settings::{BackupSettings, ListenSettings, ReplicaSettings, Settings};
use crate::store::connection::address::{DatabaseAddress, Link};
use crate::store::connection::pool::{Pool, READ_TIMEOUT};
use crate::tenancy::Tenancy;

/// Runs the command with the settings of the environment.
pub fn run() -> ExitCode {
    in_runtime(run_listening(Listeners::bind, serve))
}

/// What the API listens on.
#[derive(Debug)]
pub struct Listeners {
    /// PORT.
    pub api: TcpListener,
    /// PORT_OPERATIONS, for probes and metrics alone; `None` where the API's port is enough.
    pub operations: Option<TcpListener>,
}

impl Listeners {
    fn bind(settings: &ListenSettings) -> Result<Self, String> {
        let api = listening::port(settings, "serving")?;
        Ok(Self { api, operations: Some(listening::operations(settings)?) })
    }
}

impl From<TcpListener> for Listeners {
    fn from(api: TcpListener) -> Self {
        Self { api, operations: None }
    }
}

/// Serves until `shutdown` resolves; then stops accepting connections, finishes requests in progress, and returns. Starts
/// whether the database is reachable or not.
pub async fn serve(
    settings: Settings,
    listeners: impl Into<Listeners>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let embedders = embedders(&settings.embeddings).map_err(io::Error::other)?;
    serve_with(settings, embedders, listeners, shutdown).await
}

/// The same, with embedders that others may use as well.
pub async fn serve_with(
    settings: Settings,
    embedders: Embedders,
    listeners: impl Into<Listeners>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let Listeners { api, operations } = listeners.into();
    let limits = settings.connections.limits.clone();
    tracing::info!(
        "room for {} connections (MAX_CONNECTIONS) and {} MiB of bodies, queued writes and answers (MEMORY_BUDGET_MIB)",
        limits.connections,
        settings.memory.budget >> 20
    );
    tracing::info!("limits: {}", settings.limits_in_words());
    let watched = backups_of(&settings).map_err(io::Error::other)?;
    let Serving { app, upkeep } = app(settings, &embedders).map_err(io::Error::other)?;
    let backups = backups::watch(watched, app.metrics.clone());
    let reads = app.memory.pool.clone();
    let watching = watch(upkeep.clone(), Some(reads), app.metrics.clone());
    let (health, open) = (app.health.clone(), app.metrics.connections());
    let sweeper = sweeper::run(upkeep, app.health.clone());
    let operations = listen::serve_operations(
        operations,
        operations_router(app.clone()),
        app.metrics.operations_connections(),
    );
    let announced = async move {
        shutdown.await;
        health.drain();
        tracing::info!("shutting down: no new connections, requests under way are answered");
    };
    tokio::select! {
        () = listen::serve(api, router(app), limits, open, announced) => Ok(()),
        never = operations => match never {},
        never = watching => match never {},
        never = backups => match never {},
        never = sweeper => match never {},
    }
}

/// The backups whose gauges are shown.
fn backups_of(settings: &Settings) -> Result<Option<backups::Watched>, RecoveryError> {
    let BackupSettings { location, instance } = settings.backups.clone();
    let Some(location) = location else { return Ok(None) };
    let database = DatabaseAddress::of(&settings.database.url);
    Ok(Some(backups::Watched { location: Location::parse(&location)?, copy: instance, database }))
}

/// Connections for look-ups of one row, and how many of them are for what depends on tenants: their quotas may wait for locks.
/// One at least is always there for keys.
const LOOKUPS: u32 = 3;
const LOOKUPS_OF_TENANTS: u32 = 2;
/// The longest that one of these takes: `lock_timeout`.
const LOOKUP: Duration = Duration::from_secs(1);
/// Connections for look-ups of unknown keys.
const STRANGERS: u32 = 1;
/// Connections for administrators, and the longest that a statement of theirs takes.
const ADMINISTRATION: u32 = 2;
const ACT: Duration = Duration::from_secs(15);
/// Connections for writes that are committed by themselves, and the longest that one takes.
const CHANGES: u32 = 3;
const CHANGE: Duration = Duration::from_mins(1);
/// Connections for the sweeper and gauges.
const UPKEEP: u32 = 2;

/// What serves requests, and the connections for what is done beside them.
struct Serving {
    app: App,
    upkeep: Pool,
}

fn app(settings: Settings, embedders: &Embedders) -> Result<Serving, prometheus::Error> {
    let Settings {
        database,
        listen,
        connections,
        memory,
        limits,
        body_limit,
        unknown_fields,
        mcp,
        embeddings,
        backups: _,
        logs: _,
    } = settings;
    let metrics = Metrics::new()?;
    let budget = ByteBudget::new(memory.budget, metrics.clone());
    let address = DatabaseAddress::of(&database.url);
    let reads_of = |address: &DatabaseAddress| {
        FairPool::new(address.pool(database.pool_size), database.pool_size, READ_TIMEOUT)
    };
    let lookups_of = |address: &DatabaseAddress| {
        FairPool::new(address.pool(LOOKUPS), LOOKUPS_OF_TENANTS, LOOKUP)
    };
    let lookups = lookups_of(&address);
    let administration = FairPool::new(address.pool(ADMINISTRATION), ADMINISTRATION, ACT);
    let changes = FairPool::new(address.pool(CHANGES), CHANGES, CHANGE);
    let upkeep = address.pool(UPKEEP);
    let gets = |name, address: DatabaseAddress| {
        let (budget, counted) = (budget.clone(), metrics.clone());
        Queue::start(name, database.readers, reads::BOUNDS, move || {
            let link = Link::new(address.clone());
            reads::Reader::new(name, link, budget.clone(), counted.clone())
        })
    };
    let reads = gets("reads", address.clone());
    let replica = database.replica.map(|ReplicaSettings { url, max_lag }| {
        let address = DatabaseAddress::of_replica(&url);
        let gets = gets("replica reads", address.clone());
        let (pool, of_replica) = (reads_of(&address), lookups_of(&address));
        Replica::watch(pool, of_replica, gets, lookups.pool().clone(), max_lag, metrics.clone())
    });
    let (of_writes, counted) = (address.clone(), metrics.clone());
    let writes = Queue::start("writes", database.writers, writes::BOUNDS, move || {
        writes::Writer::new(Link::new(of_writes.clone()), limits.writes, counted.clone())
    });
    let (of_leases, counted) = (address.clone(), metrics.clone());
    let leases = Queue::start("leases", 1, leases::BOUNDS, move || {
        leases::Leaser::new(Link::new(of_leases.clone()), counted.clone())
    });
    let models = embedders.of_queries();
    let names = models.iter().map(|of| of.model().name.clone()).collect();
    tokio::spawn(searched_by::tell(lookups.pool().clone(), names));
    let query_embeddings = (!models.is_empty())
        .then(|| QueryEmbeddings::new(models, &embeddings, lookups.clone(), &metrics));
    if let Some(embeddings) = query_embeddings.clone().filter(|_| embedders.is_open()) {
        tokio::spawn(embeddings.prepare());
    }
    let limiter = |limited, limits| RateLimiter::new(limited, limits, leases.clone());
    let strangers = Strangers::new(address.pool(STRANGERS));
    let app = Arc::new(AppState {
        authenticator: Authenticator::start(lookups.pool().clone(), strangers),
        preauth: Preauth::new(limits.failures_per_minute),
        observer: Observer::start(metrics.clone(), connections.limits.proxies),
        requests: limiter(Limited::Requests, limits.requests_per_minute),
        searches: limiter(Limited::Searches, limits.searches_per_minute),
        body_limit,
        unknown_fields,
        mcp,
        health: Health::watch(&address),
        tenancy: Tenancy::pooled(administration).with_most_keys(limits.keys_per_tenant),
        memory: Memory {
            pool: reads_of(&address),
            lookups,
            reads,
            replica,
            writes,
            changes,
            write_limits: limits.writes,
            query_embeddings,
            budget: budget.clone(),
            largest_value: body_limit.0,
            searches_per_day: limits.searches_per_day,
        },
        budget,
        metrics,
        metrics_access: listen.metrics,
        monitoring_on_port: listen.monitoring_on_port,
        bootstrap_token: listen.bootstrap_token.map(Arc::new),
    });
    Ok(Serving { app, upkeep })
}
