//! Guards a migrating session from another session: cancels it before it makes others wait for long.
//!
//! `lock_timeout` bounds each wait of a migration for a lock, during which the API waits behind it. It does
//! not bound how long a migration holds a lock, or waits for a second one while it holds a first.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::store::StoreError;
use crate::store::connection::address::{DatabaseAddress, Link};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long reads and writes may be blocked without a break; a little more than the migration's lock_timeout of 2 s.
const TOLERATED: Duration = Duration::from_millis(2500);

/// Whether the session `$1` blocks reads or writes (builders of indexes and VACUUM may wait), and who blocks it. A table
/// lock's mode tells what a waiting session wants; a row lock is waited for as its holder's transaction.
const LOOK: &str = "
SELECT EXISTS (
           SELECT FROM pg_locks w
            WHERE NOT w.granted
              AND (w.locktype = 'relation' AND w.mode IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
                   OR w.locktype IN ('transactionid', 'tuple'))
              AND $1 = ANY (pg_blocking_pids(w.pid))),
       (SELECT format('session %s (%s)', a.pid, concat_ws(', ', 'role ' || a.usename, nullif(a.application_name, '')))
          FROM pg_stat_activity a
         WHERE a.pid = ANY (pg_blocking_pids($1))
         ORDER BY a.xact_start
         LIMIT 1)";

/// Ends when dropped.
pub(super) struct Guard {
    task: JoinHandle<()>,
    holder: watch::Receiver<Option<String>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Guard {
    /// Watches the session of `connection` and cancels its statement when it has blocked others for too long.
    pub(super) async fn over(
        address: &DatabaseAddress,
        connection: &mut PgConnection,
    ) -> Result<Self, StoreError> {
        let watched: i32 =
            sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await?;
        let mut link = Link::new(address.clone());
        link.connection().await?;
        let (sender, holder) = watch::channel(None);
        Ok(Self { task: tokio::spawn(keep_looking(link, watched, sender)), holder })
    }

    /// The session that last blocked the watched one, for people.
    pub(super) fn last_holder(&self) -> Option<String> {
        self.holder.borrow().clone()
    }
}

async fn keep_looking(mut link: Link, watched: i32, holder: watch::Sender<Option<String>>) {
    let mut since: Option<Instant> = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let seen = match look(&mut link, watched).await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!("the migration cannot be watched over: {error}");
                link.disconnect();
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        if seen.waits_for.is_some() {
            holder.send_replace(seen.waits_for);
        }
        since = seen.makes_others_wait.then(|| since.unwrap_or_else(Instant::now));
        if since.is_some_and(|since| since.elapsed() >= TOLERATED) {
            match cancel(&mut link, watched).await {
                Ok(()) => since = None,
                Err(error) => tracing::warn!("the migration cannot be interrupted: {error}"),
            }
        }
    }
}

struct LockWaits {
    makes_others_wait: bool,
    waits_for: Option<String>,
}

async fn look(link: &mut Link, watched: i32) -> Result<LockWaits, StoreError> {
    let row = sqlx::query(LOOK).bind(watched).fetch_one(link.connection().await?).await?;
    Ok(LockWaits { makes_others_wait: row.try_get(0)?, waits_for: row.try_get(1)? })
}

async fn cancel(link: &mut Link, watched: i32) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_cancel_backend($1)")
        .bind(watched)
        .execute(link.connection().await?)
        .await?;
    Ok(())
}
