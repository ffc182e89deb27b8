//! What Prometheus sees, by the names of the runbook.

use agentfs_server::store::connection::oldest_snapshot::oldest;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::api::Api;
use crate::support::database::Database;
use crate::support::eventually::eventually;

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "no {line} in:\n{text}");
}

#[tokio::test]
async fn they_have_the_runbooks_names_and_bounded_labels() {
    let database = Database::migrated().await;
    let quota = ("WRITE_QUOTA_PER_DAY", "1");
    let api = Api::start_with(&database, &[], &[quota]).await;
    api.client.put("/x", json!(1)).await;
    api.client.error("/v1/put", json!({"agent_id": "ada", "path": "/x", "value": 1})).await;
    api.client.get("/x").await;
    for n in 0..3 {
        let url = format!("{}/nowhere/{n}", api.client.url);
        let method = Method::from_bytes(format!("ODD{n}").as_bytes()).unwrap();
        api.client.http.request(method, url).send().await.unwrap();
    }
    let text = api.metrics().await;
    for line in [
        r#"agentfs_http_requests_total{method="POST",route="/v1/put",status="200"} 1"#,
        r#"agentfs_http_requests_total{method="POST",route="/v1/put",status="429"} 1"#,
        r#"agentfs_http_requests_total{method="other",route="unknown",status="404"} 3"#,
        r#"agentfs_http_request_duration_ms_count{method="POST",route="/v1/put"} 2"#,
        r#"agentfs_quota_denials_total{type="writes"} 1"#,
        r#"agentfs_rate_limit_denials_total{type="requests"} 0"#,
        r#"agentfs_batch_rows_count{queue="reads"} 1"#,
        r#"agentfs_batch_wait_ms_count{queue="reads"} 1"#,
        r#"agentfs_queue_requests{queue="writes"} 0"#,
        r#"agentfs_queue_oldest_seconds{queue="writes"} 0"#,
        r#"agentfs_queue_requests{queue="reads"} 0"#,
        "agentfs_http_connections 1",
        concat!(r#"agentfs_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
    ] {
        has(&text, line);
    }
    for series in [
        "agentfs_pool_connections{state=\"idle\"}",
        "agentfs_pool_wait_ms ",
        "agentfs_oldest_snapshot_age_seconds ",
        "process_start_time_seconds ",
    ] {
        assert!(text.contains(series), "no {series} in {text}");
    }
}

#[tokio::test]
async fn embedding_jobs_are_counted_by_status() {
    let database = Database::migrated().await;
    database
        .execute(
            "INSERT INTO embedding_models (name, dimensions, state) VALUES ('m', 3, 'serving')",
        )
        .await;
    database
        .execute(
            "INSERT INTO embedding_jobs (tenant_id, agent_id, path, version_id, model_id, status)
             SELECT id, 'ada', '/x', id, 1, status
               FROM tenants, unnest(ARRAY['queued', 'queued', 'failed']) AS status",
        )
        .await;
    let api = Api::start_with(&database, &[], &[]).await;
    let jobs = |status: &str| format!("agentfs_embedding_jobs_total{{status=\"{status}\"}}");
    api.until_metric(&jobs("queued"), |count| count > 1.0).await;
    for (status, count) in [("queued", 2), ("running", 0), ("succeeded", 0), ("failed", 1)] {
        has(&api.metrics().await, &format!("{} {count}", jobs(status)));
    }
}

#[tokio::test]
async fn the_oldest_snapshots_age_is_told_whoever_holds_it() {
    let database = Database::migrated().await;
    let seen = async || oldest(&mut database.connect().await).await.unwrap();
    for url in [&database.superuser_url, &database.url] {
        let mut reader = PgConnection::connect(url).await.unwrap();
        let snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM entries";
        reader.execute(snapshot).await.unwrap();
        database.execute("UPDATE tenants SET name = name").await;
        let held = seen().await.expect("the reader's");
        database.execute("UPDATE tenants SET name = name").await;
        assert_eq!(seen().await.expect("still").xid, held.xid);
        if url == &database.url {
            let api = Api::start_with(&database, &[], &[]).await;
            api.until_metric("agentfs_oldest_snapshot_age_seconds", |age| age > 0.5).await;
        }
        reader.close().await.unwrap();
        eventually(
            "no snapshot",
            async || seen().await,
            |seen| seen.as_ref().is_none_or(|seen| seen.xid != held.xid),
        )
        .await;
    }
}

const TOKEN: &str = "t0ken-of-more-than-thirty-two-characters";

#[tokio::test]
async fn they_can_be_kept_secret_and_be_switched_off() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[("METRICS_TOKEN", TOKEN)]).await;
    let get = |api: &Api| api.client.http.get(format!("{}/metrics", api.client.url));
    assert_eq!(get(&api).send().await.unwrap().status(), 401);
    assert_eq!(get(&api).bearer_auth("guess").send().await.unwrap().status(), 401);
    assert_eq!(get(&api).bearer_auth(TOKEN).send().await.unwrap().status(), 200);

    let off = [("METRICS_TOKEN", TOKEN), ("ENABLE_METRICS", "false")];
    let silent = api.replica(&database, &off).await;
    let answer = get(&silent).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["code"], "NOT_FOUND");
}
