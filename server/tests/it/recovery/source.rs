//! Backups of a database that goes away, or whose tables somebody holds.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::one_at_a_time::Holder;
use crate::support::backups::{Backups, ended};
use crate::support::database::Database;
use crate::support::eventually::eventually;

/// The sessions of a backup: those that have an advisory lock are the snapshot's.
macro_rules! session {
    ($of:literal) => {
        concat!(
            "FROM pg_stat_activity a WHERE datname = current_database() AND application_name = 'agentfs-server backup' AND ",
            $of,
            " EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted)"
        )
    };
}

#[tokio::test]
async fn a_source_that_dies_in_the_middle_leaves_nothing_and_may_be_back_later() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    let holder = Holder::of_entries(&database).await;
    for session in [
        concat!("SELECT count(pg_terminate_backend(pid)) ", session!("")),
        concat!("SELECT count(pg_terminate_backend(pid)) ", session!("NOT")),
    ] {
        let waiting = backups.start(&database, &[]);
        backups.until_begun().await;
        database.until(session, 1).await;
        let said = ended(waiting);
        assert_eq!(said.code, Some(75), "{said:?}");
        // PostgreSQL's word may be lost with the connection.
        let words = ["terminating connection", "closed the connection"];
        assert!(words.iter().any(|word| said.err.contains(word)), "{said:?}");
        assert_eq!(backups.names(), [""; 0]);
    }
    holder.lets_go().await;
    backups.make(&database, &[]);
}

#[tokio::test]
async fn what_was_dumped_without_the_lock_is_no_backup() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    let holder = Holder::of_entries(&database).await;
    let waiting = backups.start(&database, &[]);
    backups.until_begun().await;
    // pg_dump stands still where it has its snapshot, and goes on when the session that has the lock is gone.
    let dumps = concat!("SELECT count(*) ", session!("NOT"), " AND query LIKE 'LOCK TABLE%'");
    database.until(dumps, 1).await;
    let pg_dump = child_of(waiting.id()).await;
    kill(pg_dump, Signal::SIGSTOP).unwrap();
    holder.lets_go().await;
    let counted = concat!(
        "SELECT count(*) ",
        session!(""),
        " AND state = 'idle in transaction' AND query LIKE '%FROM public.tenants AS rows%'"
    );
    database.until(counted, 1).await;
    database.until(concat!("SELECT count(pg_terminate_backend(pid)) ", session!("")), 1).await;
    kill(pg_dump, Signal::SIGCONT).unwrap();
    let said = ended(waiting);
    assert_eq!(said.code, Some(75), "{said:?}");
    assert!(said.err.contains("kept migrations and other backups off has ended"), "{said:?}");
    assert_eq!(backups.names(), [""; 0]);
}

/// The program that a process has started.
async fn child_of(pid: u32) -> Pid {
    let children = || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
        let children = tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
        children.collect::<String>()
    };
    let found = eventually("a child", async || children(), |text| !text.trim().is_empty()).await;
    Pid::from_raw(found.split_whitespace().next().expect("one").parse().expect("a number"))
}

#[tokio::test]
async fn a_table_that_somebody_holds_is_named_with_who_does() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    let holder = Holder::of_entries(&database).await;
    let said = backups.run(&database, &["--lock-wait", "1s"]);
    assert_eq!(said.code, Some(75), "{said:?}");
    assert!(said.err.contains("somebody has held it for 1 s (entries, by session"), "{said:?}");
    assert!(said.err.contains("role agentfs"), "{said:?}");
    assert_eq!(backups.names(), [""; 0]);
    holder.lets_go().await;
}
