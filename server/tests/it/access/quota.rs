//! Quotas of what a tenant writes and has stored.

use agentfs_server::maintenance::stored_bytes::settle;
use agentfs_server::maintenance::sweeper::sweep_once;
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::api::{Api, Client};
use crate::support::cli::{admin, admin_json};
use crate::support::database::Database;
use crate::support::eventually::eventually;
use crate::support::stored::UNBOOKED_BYTES;

const LIMIT: (&str, &str) = ("WRITE_QUOTA_PER_DAY", "100");

#[tokio::test]
async fn across_replicas_exactly_the_quota_is_accepted() {
    let database = Database::migrated().await;
    let first = Api::start_with(&database, &[], &[LIMIT]).await;
    let replicas =
        [first.replica(&database, &[LIMIT]).await, first.replica(&database, &[LIMIT]).await, first];
    let puts = (0..300).map(|i| {
        let client = &replicas[i % 3].client;
        async move {
            let body = json!({"agent_id": "ada", "path": format!("/p/{}", i % 7), "value": i});
            client.post("/v1/put", body).await.0.as_u16()
        }
    });
    let statuses = join_all(puts).await;
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 100);
    assert_eq!(statuses.iter().filter(|s| **s == 429).count(), 200);
    assert_eq!(database.number("SELECT count(*) FROM entry_versions").await, 100);
    assert_eq!(database.number("SELECT writes FROM quota_usage").await, 100);
}

#[tokio::test]
async fn a_full_quota_says_when_it_begins_anew_and_a_reset_takes_effect_at_once() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[("WRITE_QUOTA_PER_DAY", "2")]).await;
    api.client.put("/a", json!(1)).await;
    api.client.delete("/a").await;
    assert_eq!(api.client.delete("/a").await["deleted"], false, "a delete of nothing is free");
    let request = api.client.request("/v1/put", r#"{"agent_id":"ada","path":"/a","value":1}"#);
    let refused = request.send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let wait: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&wait));
    assert!(refused.text().await.unwrap().contains("QUOTA_WRITES_PER_DAY"));
    database.execute("UPDATE quota_usage SET writes = 0 WHERE day = CURRENT_DATE").await;
    api.client.put("/a", json!(2)).await;
}

/// A refused request: its code, and whether it says when a retry may succeed.
async fn refused(client: &Client, body: &Value) -> (String, bool, Option<String>) {
    let answer = client.request("/v1/put", &body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 429);
    let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (after, retry) = (header("retry-after"), header("x-should-retry"));
    let error = answer.json::<Value>().await.unwrap();
    (error["error"]["code"].as_str().unwrap().to_owned(), after.is_some(), retry)
}

fn put(path: &str, value: &str) -> Value {
    json!({"agent_id": "ada", "path": path, "value": value})
}

#[tokio::test]
async fn keyed_deletes_of_nothing_write_no_more_rows_than_the_day_allows() {
    let database = Database::migrated().await;
    let settings = [("WRITE_QUOTA_PER_DAY", "1"), ("IDEMPOTENCY_KEYS_QUOTA_PER_DAY", "10")];
    let api = Api::start_with(&database, &[], &settings).await;
    api.client.put("/a", json!(1)).await;
    assert_eq!(refused(&api.client, &put("/a", "2")).await.0, "QUOTA_WRITES_PER_DAY");
    let delete = |n| json!({"op": "delete", "agent_id": "ada", "path": "/none", "idempotency_key": format!("k{n}")});
    let deletes: Vec<Value> = (0..100).map(delete).collect();
    for _ in 0..2 {
        let answer = api.client.ok("/v1/batch", json!({"operations": deletes})).await;
        let results = answer["results"].as_array().unwrap();
        assert!(results[..10].iter().all(|one| one["deleted"] == false), "{answer}");
        let code = |one: &Value| one["error"]["code"] == "QUOTA_IDEMPOTENCY_KEYS_PER_DAY";
        assert!(results[10..].iter().all(code), "{answer}");
        assert_eq!(database.number("SELECT count(*) FROM idempotency_keys").await, 10);
    }
    assert_eq!(database.number("SELECT writes FROM quota_usage").await, 1, "they are no writes");
    assert_eq!(database.number("SELECT idempotency_keys FROM quota_usage").await, 10);
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
    assert_eq!(api.client.delete("/none").await["deleted"], false, "without a key it is free");
    let (status, answer) = api.client.post_once("k", "/v1/delete", delete_of("/none")).await;
    assert_eq!(status.as_u16(), 429);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("without Idempotency-Key"), "{message}");
    database.execute("UPDATE quota_usage SET idempotency_keys = 0").await;
    api.client.post_once("k", "/v1/delete", delete_of("/none")).await;
    assert_eq!(database.number("SELECT count(*) FROM idempotency_keys").await, 11);
}

fn delete_of(path: &str) -> Value {
    json!({"agent_id": "ada", "path": path})
}

#[tokio::test(flavor = "multi_thread")]
async fn across_replicas_exactly_the_bytes_of_the_day_are_written() {
    let database = Database::migrated().await;
    let settings = [("WRITE_MIB_QUOTA_PER_DAY", "1")];
    let first = Api::start_with(&database, &[], &settings).await;
    let second = first.replica(&database, &settings).await;
    let value = "x".repeat(99_998);
    let puts = (0..30).map(|n| {
        let client = if n % 2 == 0 { &first.client } else { &second.client };
        let body = put(&format!("/p/{}", n % 7), &value);
        async move { client.post("/v1/put", body).await.0.as_u16() }
    });
    let statuses = join_all(puts).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10);
    assert_eq!(database.number("SELECT bytes FROM quota_usage").await, 1_000_000);
    first.client.ok("/v1/put", put("/small", "fits")).await;
    let refusal = refused(&second.client, &put("/p", &value)).await;
    assert_eq!(refusal, ("QUOTA_WRITE_BYTES_PER_DAY".into(), true, None));
    first.client.delete("/small").await;
    database.execute("UPDATE quota_usage SET bytes = 0 WHERE day = CURRENT_DATE").await;
    first.client.ok("/v1/put", put("/p", &value)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn across_replicas_exactly_what_fits_is_stored() {
    let database = Database::migrated().await;
    let settings = [("STORED_MIB_QUOTA", "1")];
    let first = Api::start_with(&database, &[], &settings).await;
    let second = first.replica(&database, &settings).await;
    // Each takes 256 bytes besides the agent's id, the path, and the value with its quotes.
    let taken = 256 + "ada".len() + "/p/1".len() + 20_000;
    let value = "x".repeat(19_998);
    let puts = (0..80).map(|n| {
        let client = if n % 2 == 0 { &first.client } else { &second.client };
        let body = put(&format!("/p/{}", n % 7), &value);
        async move {
            match n % 3 {
                0 => client.post_once(&n.to_string(), "/v1/put", body).await.0.as_u16(),
                _ => client.post("/v1/put", body).await.0.as_u16(),
            }
        }
    });
    let statuses = join_all(puts).await;
    let accepted = database.number("SELECT count(*) FROM entry_versions").await;
    let keyed = database.number("SELECT count(*) FROM idempotency_keys").await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count() as i64, accepted);
    let stored = accepted * taken as i64 + keyed * 512;
    let room = (1 << 20) - stored;
    assert!((0..taken as i64 + 512).contains(&room), "{room} bytes are left");
    assert_eq!(database.number("SELECT sum(stored_bytes)::bigint FROM quota_usage").await, stored);
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);

    let refusal = refused(&first.client, &put("/p/1", &"x".repeat(40_000))).await;
    assert_eq!(refusal, ("QUOTA_STORED_BYTES".into(), false, Some("false".into())));
    // The last byte.
    let last = room - taken as i64 + 20_000;
    let value = "x".repeat(usize::try_from(last - 2).unwrap_or_default());
    if last > 2 {
        second.client.ok("/v1/put", put("/p/1", &value)).await;
        let (_, code, message) = first.client.error("/v1/delete", delete_of("/p/1")).await;
        assert_eq!(code, "QUOTA_STORED_BYTES", "a tombstone takes room too");
        assert!(message.contains("raises STORED_MIB_QUOTA"), "{message}");
        let keyed = first.client.post_once("none", "/v1/delete", delete_of("/none")).await;
        assert_eq!(keyed.1["error"]["code"], "QUOTA_STORED_BYTES");
        assert_eq!(first.client.delete("/none").await["deleted"], false);
    }
    // Another day changes nothing about what is stored.
    database.execute("UPDATE quota_usage SET day = day - 1").await;
    let large = put("/p/1", &"x".repeat(40_000));
    assert_eq!(refused(&first.client, &large).await.0, "QUOTA_STORED_BYTES");
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
    let metrics = first.metrics().await;
    assert!(metrics.contains(r#"agentfs_quota_denials_total{type="stored_bytes"}"#), "{metrics}");
}

#[tokio::test]
async fn what_is_swept_gives_its_bytes_back() {
    let (api, database) = Api::start().await;
    let client = &api.client;
    for n in 0..3 {
        let body = json!({"agent_id": "ada", "path": format!("/{n}"), "value": "é".repeat(500), "ttl_seconds": 1000, "tags": ["a", "é"]});
        client.post_once(&format!("k{n}"), "/v1/put", body).await;
    }
    client.put("/stays", json!([1, 2])).await;
    client.delete("/2").await;
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
    database
        .execute(
            "WITH heads AS (UPDATE entries SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL)
             UPDATE entry_versions SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL",
        )
        .await;
    database
        .execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key <> 'k1'")
        .await;
    let left = "SELECT (SELECT count(*) FROM idempotency_keys WHERE key <> 'k1')
                     + (SELECT count(*) FROM entry_versions WHERE expires_at < now() AND deleted_at IS NULL)";
    let pool = database.address().pool(1);
    let sweep = async || {
        sweep_once(&pool).await.unwrap();
        database.number(left).await
    };
    eventually("all is swept", sweep, |left| *left == 0).await;
    settle(&pool).await.unwrap();
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
    let rest = 5 * 256 + 5 * "ada".len() + 4 * "/0".len() + "/stays".len() + 3 * "aé".len() + 5;
    let booked = "SELECT (SELECT sum(bytes) FROM storage_usage)::bigint + (SELECT sum(stored_bytes) FROM quota_usage)::bigint";
    assert_eq!(database.number(booked).await, rest as i64 + 512);

    // A program of before leaves the size of a value that it has swept. It counts for nothing.
    database
        .execute("UPDATE entry_versions SET value = NULL, deleted_at = now() WHERE path = '/stays'; DELETE FROM storage_usage")
        .await;
    admin(&database, &["quota", "recount"]);
    assert_eq!(
        database.number("SELECT bytes::bigint FROM entry_versions WHERE path = '/stays'").await,
        5
    );
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);

    // A key whose row is there yet is taken anew without another row.
    database.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'").await;
    client.post_once("k1", "/v1/delete", delete_of("/none")).await;
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
}

#[tokio::test]
async fn days_that_are_over_are_closed_and_lose_nothing() {
    let (mut api, database) = Api::start().await;
    let pool = database.address().pool(1);
    let since = "SELECT count(*) FROM storage_usage WHERE since = CURRENT_DATE - 1";
    for day in ["- 40", "- 2", "- 1", "- 0"] {
        api.client.put("/a", json!(day)).await;
        api.client.post_once(&day.replace(' ', ""), "/v1/delete", delete_of("/none")).await;
        let yesterday = format!("UPDATE quota_usage SET day = day {day} WHERE day = CURRENT_DATE");
        sqlx::query(sqlx::AssertSqlSafe(yesterday))
            .execute(&mut database.connect().await)
            .await
            .unwrap();
    }
    api.announce_end();
    api.ended().await;
    // Its sweeper may have closed days that were moved after it.
    database.execute("DELETE FROM storage_usage").await;
    settle(&pool).await.unwrap();
    assert_eq!(database.number(since).await, 1);
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
    let each = 256 + "ada/a".len() as i64 + r#""- 4""#.len() as i64 + 512;
    assert_eq!(database.number("SELECT bytes FROM storage_usage").await, 2 * each + 1);
    settle(&pool).await.unwrap();
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0, "once");
    let then = "SELECT to_char(CURRENT_DATE - 2, 'YYYY-MM-DD')";
    let then: String =
        sqlx::query_scalar(then).fetch_one(&mut database.connect().await).await.unwrap();
    let shown = admin_json(&database, &["quota", "show", "--day", &then]);
    assert_eq!(shown["usage"][0]["stored_bytes"], 2 * each + 1, "at the end of that day");
    let shown = admin_json(&database, &["quota", "show"]);
    assert_eq!(shown["usage"][0]["stored_bytes"], 4 * each + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_anew_puts_right_what_is_wrong_while_agents_write() {
    let (api, database) = Api::start().await;
    let replica = api.replica(&database, &[]).await;
    api.client.put("/before", json!("x".repeat(5000))).await;
    database.execute("UPDATE quota_usage SET stored_bytes = 7").await;
    let tenant = Uuid::nil().to_string();
    let writers = (0..4).map(|writer| {
        let client = if writer % 2 == 0 { api.client.clone() } else { replica.client.clone() };
        tokio::spawn(async move {
            for n in 0..20 {
                let path = format!("/{}", n % 4);
                client.post_once(&format!("{writer}-{n}"), "/v1/put", put(&path, "value")).await;
                client.post("/v1/put", put(&path, "value")).await;
                client.delete(&path).await;
            }
        })
    });
    let counts = (0..4).map(|_| {
        let (database, tenant) = (database.clone(), tenant.clone());
        tokio::task::spawn_blocking(move || {
            admin_json(&database, &["quota", "recount", "--tenant", &tenant])
        })
    });
    let (counts, writers) = tokio::join!(join_all(counts), join_all(writers));
    writers.into_iter().for_each(Result::unwrap);
    for count in counts {
        assert_eq!(count.unwrap()["tenants"][0]["tenant_id"], tenant);
    }
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
    database.execute("DELETE FROM quota_usage; DELETE FROM storage_usage").await;
    let said = admin(&database, &["quota", "recount"]).text();
    assert!(said.starts_with("TENANT"), "{said}");
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
}
