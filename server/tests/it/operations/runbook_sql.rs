//! The SQL of the runbook, as it stands there, through the real psql, on the database of a live API.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::api::Api;
use crate::support::database::Database;
use crate::support::jobs;
use crate::support::shell::Shell;

/// A time zone in which it is another day than in UTC.
fn another_day() -> &'static str {
    let hour = Timestamp::now().to_zoned(TimeZone::UTC).hour();
    // 14 hours ahead, or 12 behind. Between 10 and 12 o'clock both are on another day.
    if hour >= 11 { "Pacific/Kiritimati" } else { "Etc/GMT+12" }
}

/// A migrated database whose time zone was somewhere else before.
async fn database_from_elsewhere() -> Database {
    let database = Database::empty().await;
    let name = database.url.rsplit_once('/').unwrap().1;
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let elsewhere = format!("ALTER DATABASE {name} SET timezone TO '{}'", another_day());
    superuser.execute(AssertSqlSafe(elsewhere)).await.unwrap();
    database.migrate().await;
    database
}

#[tokio::test]
async fn quotas_are_read_and_reset_with_effect_at_once() {
    let (database, folder) = (database_from_elsewhere().await, TempDir::new().unwrap());
    let shell = Shell::of_owner(&database, folder.path());
    let api = Api::start_with(&database, &[], &[("WRITE_QUOTA_PER_DAY", "3")]).await;
    for n in 0..3 {
        api.client.put("/x", json!(n)).await;
    }
    let body = json!({"agent_id": "ada", "path": "/x", "value": 3});
    assert_eq!(api.client.error("/v1/put", body.clone()).await.1, "QUOTA_WRITES_PER_DAY");

    let shown = shell.line(r#"psql -c "SELECT * FROM quota_usage WHERE day = CURRENT_DATE""#).await;
    assert!(shown.contains("(1 row)"), "{shown}");
    for column in ["tenant_id", "day", "writes", "bytes", "embed_tokens", "searches"] {
        assert!(shown.lines().next().unwrap().contains(column), "{shown}");
    }
    let reset = r#"psql -c "UPDATE quota_usage SET writes = 0 WHERE tenant_id = 'xxx' AND day = CURRENT_DATE""#;
    assert_eq!(shell.line(&reset.replace("xxx", &Uuid::nil().to_string())).await, "UPDATE 1");
    api.client.ok("/v1/put", body).await;
}

#[tokio::test]
async fn failed_jobs_are_counted_and_queued_again() {
    let (database, folder) = (Database::migrated().await, TempDir::new().unwrap());
    let shell = Shell::of_owner(&database, folder.path());
    jobs::add(&database, Uuid::nil(), "failed", 3).await;
    jobs::add(&database, Uuid::nil(), "succeeded", 1).await;
    let count = r#"psql -c "SELECT status, COUNT(*) FROM embedding_jobs GROUP BY status""#;
    let counted = |shown: &str, status: &str| {
        shown.lines().find(|line| line.contains(status)).map(|line| line.replace(' ', ""))
    };
    let shown = shell.line(count).await;
    assert_eq!(counted(&shown, "failed").unwrap(), "failed|3");
    let requeue = r#"psql -c "UPDATE embedding_jobs SET status = 'queued', attempts = 0 WHERE status = 'failed'""#;
    assert_eq!(shell.line(requeue).await, "UPDATE 3");
    let shown = shell.line(count).await;
    assert_eq!(
        (counted(&shown, "queued").unwrap(), counted(&shown, "failed")),
        ("queued|3".into(), None)
    );
}

#[tokio::test]
async fn a_database_is_checked() {
    const CHECK: &str = r"psql <<'SQL'
SELECT 'tenants' as table_name, COUNT(*) FROM tenants
UNION ALL SELECT 'api_keys', COUNT(*) FROM api_keys
UNION ALL SELECT 'entries', COUNT(*) FROM entries
UNION ALL SELECT 'entry_versions', COUNT(*) FROM entry_versions
UNION ALL SELECT 'embeddings', COUNT(*) FROM embeddings;
SELECT COUNT(*) FROM entries e
LEFT JOIN entry_versions ev ON e.latest_version_id = ev.id
WHERE ev.id IS NULL;  -- Should be 0
SQL";
    let ((api, database), folder) = (Api::start().await, TempDir::new().unwrap());
    let shell = Shell::of_owner(&database, folder.path());
    api.client.put("/x", json!(1)).await;
    api.client.put("/x", json!(2)).await;
    let marker =
        json!({"agent_id": "dr-test", "path": "/dr-test/marker", "value": {"timestamp": "now"}});
    api.client.ok("/v1/put", marker).await;
    let shown: String = shell.line(CHECK).await.replace(' ', "");
    for row in ["tenants|1", "api_keys|1", "entries|2", "entry_versions|3", "embeddings|0"] {
        assert!(shown.lines().any(|line| line == row), "{shown}");
    }
    let orphans = shown.split_once("count\n-------\n").unwrap().1;
    assert!(orphans.starts_with("0\n"), "{shown}");

    let drill =
        r#"psql -d "$PGDATABASE" -c "SELECT * FROM entry_versions WHERE path = '/dr-test/marker'""#;
    assert!(shell.line(drill).await.contains(r#"{"timestamp":"now"}"#));
    let connections = shell.line(r#"psql -c "SELECT count(*) FROM pg_stat_activity""#).await;
    assert!(connections.lines().nth(2).unwrap().trim().parse::<u32>().unwrap() > 1);
    assert!(shell.line(r#"psql "$DATABASE_URL" -c "SELECT 1""#).await.contains("(1 row)"));
    let ready = shell.line(r#"pg_isready -h localhost -p "$PGPORT" -d "$PGDATABASE""#).await;
    assert!(ready.ends_with("accepting connections"), "{ready}");
}
