//! The API as a whole: from settings to a listening process and back.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::auth::Authenticator;
use crate::batch::queue::Queue;
use crate::batch::{reads, writes};
use crate::health::Health;
use crate::http::{App, router};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::store::connect::Link;
use crate::sweeper;

/// Longest time that requests under way may take after the end was announced.
const DRAIN: Duration = Duration::from_secs(20);

/// Serves until `shutdown` resolves; then takes no more connections, answers what is under way, and returns.
/// Starts whether the database is there or not.
pub async fn serve(
    settings: Settings,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = app(settings).map_err(io::Error::other)?;
    let health = app.health.clone();
    let sweeper = sweeper::run(app.pool.clone());
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let announced = async move {
        shutdown.await;
        health.drain();
        tracing::info!("shutting down: no new connections, requests under way are answered");
        end.send(()).ok();
    };
    let server = axum::serve(listener, router(app)).with_graceful_shutdown(announced);
    let too_late = async {
        if ended.await.is_err() {
            // The server ended by itself; it decides the result.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = server => result,
        never = sweeper => match never {},
        () = too_late => {
            tracing::warn!("requests were still under way {} s after the end was announced", DRAIN.as_secs());
            Ok(())
        }
    }
}

fn app(settings: Settings) -> Result<App, prometheus::Error> {
    let Settings { database, listen, limits } = settings;
    let metrics = Metrics::new()?;
    let pool = database.address.pool(database.pool_size);
    let (address, counted) = (database.address.clone(), metrics.clone());
    let reads = Queue::start("reads", database.readers, reads::BOUNDS, move || {
        reads::Reader::new(Link::new(address.clone()), counted.clone())
    });
    let (address, counted) = (database.address.clone(), metrics.clone());
    let writes = Queue::start("writes", database.writers, writes::BOUNDS, move || {
        writes::Writer::new(Link::new(address.clone()), limits.writes_per_day, counted.clone())
    });
    Ok(App {
        authenticator: Authenticator::new(pool.clone()),
        health: Health::watch(&database.address),
        pool,
        reads,
        writes,
        metrics,
        metrics_token: listen.metrics_token.map(Arc::new),
        bootstrap_token: listen.bootstrap_token.map(Arc::new),
    })
}
