//! Many at once.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::api::{Api, Client, tenants_key};
use crate::support::database::Database;
use crate::support::stored::history;

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_writers_on_one_path_lose_nothing() {
    const WRITERS: usize = 64;
    const PUTS: usize = 25;
    let database = Database::migrated().await;
    let first = Api::start_with(&database, &[], &[]).await;
    let second = first.replica(&database, &[]).await;
    let writers = (0..WRITERS).map(|writer| {
        let client = if writer % 2 == 0 { first.client.clone() } else { second.client.clone() };
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0..PUTS {
                let put = client.put("/hot", json!([writer, n])).await;
                acknowledged.push(put["version_id"].as_str().unwrap().parse::<Uuid>().unwrap());
            }
            acknowledged
        })
    });
    let acknowledged: Vec<Vec<Uuid>> =
        join_all(writers).await.into_iter().map(Result::unwrap).collect();

    let stored = history(&database, "/hot").await;
    let versions: Vec<i64> = stored.iter().map(|s| s.version).collect();
    assert_eq!(
        versions,
        (1..=(WRITERS * PUTS) as i64).collect::<Vec<_>>(),
        "each number once, none missing"
    );
    let ids: HashSet<Uuid> = stored.iter().map(|s| s.id).collect();
    assert_eq!(
        ids,
        acknowledged.iter().flatten().copied().collect(),
        "each acknowledged version exists, and no other"
    );
    assert!(stored.is_sorted_by(|a, b| a.created_at < b.created_at), "moments grow with versions");
    for (writer, ids) in acknowledged.iter().enumerate() {
        let own: Vec<Uuid> = stored.iter().filter(|s| s.value[0] == writer).map(|s| s.id).collect();
        assert_eq!(&own, ids, "writer {writer}'s puts are in its order");
    }
    let last = stored.last().unwrap();
    for api in [&first, &second] {
        let got = api.client.get("/hot").await;
        assert_eq!(
            (got["version_id"].as_str().unwrap(), &got["value"]),
            (last.id.to_string().as_str(), &last.value)
        );
    }
    assert_eq!(database.number("SELECT writes FROM quota_usage").await, (WRITERS * PUTS) as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_and_deletes_on_few_paths_through_three_replicas_keep_every_history_whole() {
    const WRITERS: usize = 48;
    let database = Database::migrated().await;
    let first = Api::start_with(&database, &[], &[("DATABASE_WRITERS", "2")]).await;
    let apis = [
        first.replica(&database, &[]).await,
        first.replica(&database, &[("DATABASE_WRITERS", "3")]).await,
        first,
    ];
    let writers = (0..WRITERS).map(|writer| {
        let client = apis[writer % 3].client.clone();
        tokio::spawn(async move {
            let mut written = 0;
            for n in 0..20 {
                let path = format!("/few/{}", (writer * 7 + n * 3) % 5);
                if (writer + n) % 3 == 0 {
                    written += i64::from(client.delete(&path).await["deleted"] == true);
                } else {
                    client.put(&path, json!({"w": writer, "n": n})).await;
                    written += 1;
                }
            }
            written
        })
    });
    let written: i64 = join_all(writers).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(database.number("SELECT count(*) FROM entry_versions").await, written);
    assert_eq!(database.number("SELECT writes FROM quota_usage").await, written);
    for path in 0..5 {
        let stored = history(&database, &format!("/few/{path}")).await;
        assert!(
            stored.iter().zip(1..).all(|(s, n)| s.version == n),
            "versions of {path} are 1, 2, 3 …"
        );
        assert!(stored.is_sorted_by(|a, b| a.created_at < b.created_at));
        // Two tombstones in a row would mean that a delete of nothing was written.
        assert!(stored.windows(2).all(|w| !(w[0].value.is_null() && w[1].value.is_null())));
        let got = apis[0].client.get(&format!("/few/{path}")).await;
        match &stored.last().unwrap().value {
            Value::Null => assert_eq!(got, json!({"found": false})),
            value => assert_eq!(&got["value"], value),
        }
    }
    let broken =
        "SELECT count(*) FROM entries e LEFT JOIN entry_versions v ON e.latest_version_id = v.id
                   WHERE v.id IS NULL OR v.version <> e.version OR v.created_at <> e.updated_at";
    assert_eq!(database.number(broken).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_entry_fails_alone() {
    let (api, database) = Api::start().await;
    api.client.put("/locked", json!(1)).await;
    let mut holder = database.connect().await;
    sqlx::raw_sql("BEGIN; SELECT 1 FROM entries WHERE path = '/locked' FOR UPDATE")
        .execute(&mut holder)
        .await
        .unwrap();
    let puts = (0..8).map(|i| {
        let client = api.client.clone();
        let path = if i == 3 { "/locked".to_owned() } else { format!("/free/{i}") };
        async move {
            client
                .post("/v1/put", json!({"agent_id": "ada", "path": path, "value": 2}))
                .await
                .0
                .as_u16()
        }
    });
    let statuses = join_all(puts).await;
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 7, "{statuses:?}");
    assert_eq!(statuses[3], 503);
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    api.client.put("/locked", json!(3)).await;
    assert_eq!(api.client.get("/locked").await["value"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_locked_rows_do_not_keep_others_from_writing() {
    let (api, database) = Api::start().await;
    let other = api.client.with_key(&tenants_key(&database).await);
    for client in [&api.client, &other] {
        client.put("/first", json!(1)).await;
    }
    let mut holder = database.connect().await;
    sqlx::raw_sql("BEGIN; SELECT 1 FROM quota_usage WHERE tenant_id = '00000000-0000-0000-0000-000000000000' FOR UPDATE")
        .execute(&mut holder)
        .await
        .unwrap();
    let put = |client: &Client, n: usize| {
        let client = client.clone();
        let body = json!({"agent_id": "ada", "path": format!("/{n}"), "value": n});
        tokio::spawn(async move { client.post("/v1/put", body).await.0.as_u16() })
    };
    let locked: Vec<_> = (0..40).map(|n| put(&api.client, n)).collect();
    // They wait behind the first of them.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    database.until(waiting, 1).await;
    let puts = (0..5).map(|n| put(&other, n));
    let answered = tokio::time::timeout(Duration::from_secs(10), join_all(puts)).await;
    let answered = answered.expect("they wait for nobody else's locks");
    assert!(answered.iter().all(|status| matches!(status, Ok(200))), "{answered:?}");
    assert!(locked.iter().any(|put| !put.is_finished()), "the others are not answered before");
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    for put in locked {
        assert!([200, 503].contains(&put.await.unwrap()));
    }
}
