//! /v1/move: an entry and all below it go to another path, at once.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::api::{Api, Client, tenants_key};
use crate::support::database::{Database, Gate};
use crate::support::stored::UNBOOKED_BYTES;

fn request(from: &str, to: &str) -> Value {
    json!({"agent_id": "ada", "from": from, "to": to})
}

async fn glob(client: &Client, pattern: &str) -> Vec<String> {
    let body = json!({"agent_id": "ada", "pattern": pattern});
    let pages = client.pages("/v1/glob", body, "paths").await;
    pages.concat().iter().map(|path| path.as_str().unwrap().to_owned()).collect()
}

/// Heads that are not their latest version, and what is counted and is not there.
async fn is_whole(db: &Database) {
    let broken = "SELECT count(*) FROM entries e LEFT JOIN entry_versions v ON v.id = e.latest_version_id
                   WHERE v.id IS NULL OR (e.path, e.version, e.updated_at, e.expires_at, e.deleted_at)
                         IS DISTINCT FROM (v.path, v.version, v.created_at, v.expires_at, v.deleted_at)";
    assert_eq!(db.number(broken).await, 0);
    let orphans = "SELECT count(*) FROM entry_versions v LEFT JOIN entries e USING (tenant_id, agent_id, path)
                    WHERE e.version IS NULL OR v.version > e.version";
    assert_eq!(db.number(orphans).await, 0, "versions that no head has come to");
    assert_eq!(db.number(UNBOOKED_BYTES).await, 0);
}

/// Entries at `/from/0` and so on, straight in the database: `count` of a thousand bytes.
async fn fill(db: &Database, count: &str) {
    let fill = format!(
        "INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
         SELECT '00000000-0000-0000-0000-000000000000', 'ada', '/from/' || n, gen_random_uuid(), 1, now() - interval '1 hour'
           FROM generate_series(1, {count}) n;
         INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
         SELECT tenant_id, latest_version_id, agent_id, path, 1, to_json(repeat('x', 998)), '{{}}', 0, false, updated_at FROM entries
          WHERE path LIKE '/from/%';
         ANALYZE"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(&mut db.connect().await).await.unwrap();
}

#[tokio::test]
async fn a_subtree_moves_with_all_that_belongs_to_it() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    let body = json!({"agent_id": "ada", "path": "/a", "value": {"n": 1.0}, "tags": ["t"], "importance": 0.5,
        "searchable": true, "ttl_seconds": 1000});
    client.ok("/v1/put", body).await;
    client.put("/a/b/c", json!("below")).await;
    client.put("/ab", json!("beside")).await;
    client.put("/a/gone", json!(1)).await;
    client.delete("/a/gone").await;
    let before = client.get("/a").await;
    let moved = client.ok("/v1/move", request("//a", "/z/a/")).await;
    assert_eq!(moved["moved"], 2);
    let after = client.get("/z/a").await;
    assert_eq!(
        [&after["version_id"], &after["created_at"]],
        [&moved["version_id"], &moved["created_at"]]
    );
    for kept in ["value", "tags", "importance", "searchable", "expires_at", "sha256"] {
        assert_eq!(after[kept], before[kept], "{kept}");
    }
    assert_eq!(glob(client, "/**").await, ["/ab", "/z/a", "/z/a/b/c"]);
    assert_eq!(client.get("/a").await, json!({"found": false}));
    let history = client.ok("/v1/history", json!({"agent_id": "ada", "path": "/a"})).await;
    assert_eq!(history["versions"].as_array().unwrap().len(), 2, "a tombstone at the old path");
    assert_eq!(history["versions"][0]["author"], history["versions"][1]["author"]);
    let search = json!({"agent_id": "ada", "query": "n", "mode": "text"});
    let found = client.ok("/v1/search", search).await;
    assert_eq!(found["results"][0]["path"], "/z/a");
    assert_eq!(found["results"].as_array().unwrap().len(), 1);
    assert_eq!(db.number("SELECT writes FROM quota_usage").await, 5 + 2);
    is_whole(&db).await;

    let past = json!({"agent_id": "ada", "path": "/a", "as_of": before["created_at"]});
    assert_eq!(client.ok("/v1/get", past).await["value"], before["value"]);
    client.put("/z/a", json!("next")).await;
    let next = client.ok("/v1/history", json!({"agent_id": "ada", "path": "/z/a"})).await;
    assert_eq!(next["versions"][0]["value"], "next");
    client.ok("/v1/move", request("/z/a", "/a")).await;
    assert_eq!(client.get("/a").await["value"], "next", "back where there are tombstones");
    let past = json!({"agent_id": "ada", "path": "/z/a", "as_of": moved["created_at"]});
    assert_eq!(client.ok("/v1/get", past).await["value"], before["value"]);
    is_whole(&db).await;
}

#[tokio::test]
async fn what_is_there_is_named_or_replaced() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    for path in ["/a/1", "/a/2", "/b/2", "/b/3"] {
        client.put(path, json!(path)).await;
    }
    let search = json!({"agent_id": "ada", "path": "/b/2", "value": "words", "searchable": true});
    client.ok("/v1/put", search).await;
    let (status, code, message) = client.error("/v1/move", request("/a", "/b")).await;
    assert_eq!((status, code.as_str()), (409, "DESTINATION_EXISTS"));
    assert!(message.contains("\"/b/2\""), "{message}");
    assert_eq!(glob(client, "/a/**").await.len(), 2, "nothing was moved");
    let mut over = request("/a", "/b");
    over["overwrite"] = json!(true);
    assert_eq!(client.ok("/v1/move", over).await["moved"], 2);
    assert_eq!(glob(client, "/**").await, ["/b/1", "/b/2", "/b/3"]);
    assert_eq!(client.get("/b/2").await["value"], "/a/2");
    assert_eq!(client.get("/b/3").await["value"], "/b/3", "what is not in the way stays");
    let history = client.ok("/v1/history", json!({"agent_id": "ada", "path": "/b/2"})).await;
    assert_eq!(history["versions"][1]["value"], "words", "as a put replaces it");
    let search = json!({"agent_id": "ada", "query": "words", "mode": "text"});
    assert_eq!(client.ok("/v1/search", search).await["results"], json!([]));
    is_whole(&db).await;
    // A searchable entry over another one.
    for (path, words) in [("/c", "green tea"), ("/d", "black coffee")] {
        let body = json!({"agent_id": "ada", "path": path, "value": words, "searchable": true});
        client.ok("/v1/put", body).await;
    }
    let mut over = request("/c", "/d");
    over["overwrite"] = json!(true);
    client.ok("/v1/move", over).await;
    for (query, found) in [("tea", 1), ("coffee", 0)] {
        let search = json!({"agent_id": "ada", "query": query, "mode": "text"});
        let results = client.ok("/v1/search", search).await["results"].clone();
        assert_eq!(results.as_array().unwrap().len(), found, "{query}");
    }
}

#[tokio::test]
async fn what_cannot_be_moved_is_refused_and_nothing_is_written() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    client.put("/a/b", json!(1)).await;
    let deep = format!("/{}", "x".repeat(511));
    for (from, to, status, code) in [
        ("/a", "/a", 400, "VALIDATION_ERROR"),
        ("/a", "/a/b/c", 400, "VALIDATION_ERROR"),
        ("/a/b", "/a", 400, "VALIDATION_ERROR"),
        ("/", "/c", 400, "INVALID_PATH"),
        ("/a", "/", 400, "INVALID_PATH"),
        ("/a", "/sys/a", 403, "RESERVED_PATH"),
        ("/a", &deep, 400, "INVALID_PATH"),
        ("/none", "/c", 404, "NOT_FOUND"),
    ] {
        let (got, said, message) = client.error("/v1/move", request(from, to)).await;
        assert_eq!((got, said.as_str()), (status, code), "{from} {to}: {message}");
    }
    let operations = json!([{"op": "move", "agent_id": "ada", "from": "/a", "to": "/c"}]);
    let (status, _, message) = client.error("/v1/batch", json!({"operations": operations})).await;
    assert_eq!(status, 400);
    assert!(message.contains("send it to /v1/move"), "{message}");
    let reader = client.with_key(&crate::support::api::new_key(&db, &["memory:read"]).await);
    assert_eq!(reader.error("/v1/move", request("/a", "/c")).await.1, "FORBIDDEN");
    assert_eq!(db.number("SELECT count(*) FROM entry_versions").await, 1);
    assert_eq!(db.number("SELECT writes FROM quota_usage").await, 1);
}

#[tokio::test]
async fn quotas_and_bounds_hold() {
    let db = Database::migrated().await;
    let api =
        Api::start_with(&db, &[], &[("WRITE_QUOTA_PER_DAY", "4"), ("STORED_MIB_QUOTA", "100")])
            .await;
    for path in ["/a/1", "/a/2", "/a/3"] {
        api.client.put(path, json!(1)).await;
    }
    let (status, code, _) = api.client.error("/v1/move", request("/a", "/b")).await;
    assert_eq!((status, code.as_str()), (429, "QUOTA_WRITES_PER_DAY"));
    assert_eq!(glob(&api.client, "/**").await.len(), 3);
    is_whole(&db).await;

    let db = Database::migrated().await;
    let api = Api::start_with(&db, &[], &[]).await;
    fill(&db, "10001").await;
    let delete = json!({"agent_id": "ada", "path": "/from", "recursive": true});
    for (route, body) in [("/v1/move", request("/from", "/to")), ("/v1/delete", delete)] {
        let (status, code, message) = api.client.error(route, body).await;
        assert_eq!((status, code.as_str()), (413, "SUBTREE_TOO_LARGE"));
        assert!(message.contains("10001 entries"), "{message}");
    }
    // 70 values of a MiB, which take little room on the disk.
    db.execute("DELETE FROM entries WHERE path > '/from/1069'; UPDATE entry_versions SET value = to_json(repeat('y', 1048000)) WHERE path LIKE '/from/10__'").await;
    db.execute("DELETE FROM entries WHERE path NOT LIKE '/from/10__'").await;
    let (status, code, message) = api.client.error("/v1/move", request("/from", "/to")).await;
    assert_eq!((status, code.as_str()), (413, "SUBTREE_TOO_LARGE"), "{message}");
    assert!(message.contains("64 MiB"), "{message}");
    assert_eq!(db.number("SELECT count(*) FROM entry_versions WHERE path LIKE '/to/%'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_gets_the_first_answer_also_at_the_same_time() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    client.put("/a/1", json!(1)).await;
    client.put("/a/2", json!(2)).await;
    let both = (0..4).map(|_| client.post_once("k", "/v1/move", request("/a", "/b")));
    let answers = join_all(both).await;
    for (status, answer) in &answers {
        assert_eq!(status.as_u16(), 200, "{answer}");
        assert_eq!(answer, &answers[0].1);
    }
    assert_eq!(answers[0].1["moved"], 2);
    client.put("/a/3", json!(3)).await;
    assert_eq!(client.post_once("k", "/v1/move", request("/a", "/b")).await.1, answers[0].1);
    assert_eq!(client.get("/a/3").await["found"], true, "not moved again");
    let (status, answer) = client.post_once("k", "/v1/move", request("/a", "/c")).await;
    assert_eq!(
        (status.as_u16(), &answer["error"]["code"]),
        (422, &json!("IDEMPOTENCY_KEY_MISMATCH"))
    );
    assert_eq!(client.post_once("n", "/v1/move", request("/none", "/d")).await.0.as_u16(), 404);
    assert_eq!(
        db.number("SELECT count(*) FROM idempotency_keys").await,
        1,
        "a refusal is not kept"
    );
    is_whole(&db).await;
}

/// Of sixteen that move the same subtree to sixteen places, one does; of sixteen that move theirs to one place, one does.
#[tokio::test(flavor = "multi_thread")]
async fn sixteen_movers_lose_and_double_nothing() {
    let database = Database::migrated().await;
    let first = Api::start_with(&database, &[], &[]).await;
    let second = first.replica(&database, &[]).await;
    let clients = [first.client.clone(), second.client.clone()];
    for n in 0..20 {
        first.client.put(&format!("/one/{n}"), json!(n)).await;
        first.client.put(&format!("/many/{}/{n}", n % 16), json!(n)).await;
    }
    let movers = (0..16).map(|n| {
        let client = clients[n % 2].clone();
        tokio::spawn(async move {
            let away = settled(&client, request("/one", &format!("/away/{n}"))).await;
            let here = settled(&client, request(&format!("/many/{n}"), "/here")).await;
            (away, here)
        })
    });
    let done: Vec<(u16, u16)> = join_all(movers).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(done.iter().filter(|(away, _)| *away == 200).count(), 1, "{done:?}");
    assert_eq!(done.iter().filter(|(_, here)| *here == 200).count(), 1, "{done:?}");
    assert!(
        done.iter().all(|(away, here)| [200, 404].contains(away) && [200, 409].contains(here)),
        "{done:?}"
    );
    assert_eq!(glob(&first.client, "/away/**").await.len(), 20);
    assert_eq!(glob(&first.client, "/one/**").await.len(), 0);
    assert_eq!(
        glob(&first.client, "/many/**").await.len() + glob(&first.client, "/here/**").await.len(),
        20
    );
    is_whole(&database).await;
}

/// The status of a move, once it is no longer told to try again.
async fn settled(client: &Client, body: Value) -> u16 {
    loop {
        let (status, _) = client.post("/v1/move", body.clone()).await;
        if status.as_u16() != 503 {
            return status.as_u16();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_below_a_path_that_moves_are_moved_or_stay() {
    const WRITERS: usize = 8;
    let (api, db) = Api::start().await;
    for n in 0..WRITERS {
        api.client.put(&format!("/a/{n}"), json!(0)).await;
    }
    let writers = (0..WRITERS).map(|writer| {
        let client = api.client.clone();
        tokio::spawn(async move {
            for n in 1..=60 {
                client.put(&format!("/a/{writer}"), json!(n)).await;
                client.put(&format!("/a/{writer}/{n}"), json!(n)).await;
            }
        })
    });
    let client = api.client.clone();
    let mover = tokio::spawn(async move {
        let mut moves = 0;
        for n in 0..12 {
            moves += usize::from(
                settled(&client, request("/a", &format!("/moved/{n:02}"))).await == 200,
            );
        }
        moves
    });
    join_all(writers).await.into_iter().for_each(Result::unwrap);
    assert!(mover.await.unwrap() > 0);
    is_whole(&db).await;
    // Each put was acknowledged: it is live where it was put or where it was moved to, or replaced by a later one.
    let paths = glob(&api.client, "/**").await;
    for writer in 0..WRITERS {
        for n in 1..=60 {
            let end = format!("/{writer}/{n}");
            let places =
                paths.iter().filter(|path| path.ends_with(&end) && path.split('/').count() >= 4);
            assert_eq!(places.count(), 1, "{end}");
        }
    }
    let newest = "SELECT count(*) FROM generate_series(0, 7) w WHERE NOT EXISTS (
        SELECT FROM entries e JOIN entry_versions v ON v.id = e.latest_version_id
         WHERE e.path ~ ('^/(a|moved/[0-9]+)/' || w || '$') AND v.value::text = '60')";
    assert_eq!(db.number(newest).await, 0, "the last put of each writer is live");
}

/// Counts the versions that are written, committed or not: a sequence is in no transaction.
async fn count_versions(db: &Database) {
    let count = "CREATE SEQUENCE written MINVALUE 0;
         SELECT setval('written', 0);
         CREATE FUNCTION count_version() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('written'); RETURN NULL; END $$;
         CREATE TRIGGER count_version AFTER INSERT ON entry_versions FOR EACH ROW EXECUTE FUNCTION count_version()";
    sqlx::raw_sql(count).execute(&mut db.connect().await).await.unwrap();
}

const WRITTEN: &str = "SELECT last_value FROM written";

#[tokio::test(flavor = "multi_thread")]
async fn all_versions_are_written_before_the_tenants_writers_wait() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    for n in 0..20 {
        client.put(&format!("/a/{n}"), json!(n)).await;
    }
    count_versions(&db).await;
    let delete = json!({"agent_id": "ada", "path": "/b", "recursive": true});
    for (route, body, versions) in
        [("/v1/move", request("/a", "/b"), 40), ("/v1/delete", delete, 41 + 20)]
    {
        let gate = Gate::close_behind_tombstones(&db).await;
        let of_task = client.clone();
        let changing = tokio::spawn(async move { of_task.ok(route, body).await });
        db.until(Gate::WAITING, 1).await;
        assert_eq!(db.number(WRITTEN).await, versions, "{route}");
        client.put("/beside", json!(route)).await;
        gate.open().await;
        changing.await.unwrap();
        assert_eq!(db.number(WRITTEN).await, versions + 1, "{route}: none but the put's");
    }
    is_whole(&db).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_before_the_tenants_writers_wait_is_moved_as_it_is_then() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    for path in ["/a/put", "/a/deleted", "/a/touched", "/a/same", "/a/displaced", "/b/displaced"] {
        client.put(path, json!("before")).await;
    }
    client.delete("/b/displaced").await;
    count_versions(&db).await;
    let gate = Gate::close_behind_tombstones(&db).await;
    let of_task = client.clone();
    let mut over = request("/a", "/b");
    over["overwrite"] = json!(true);
    let moving = tokio::spawn(async move { of_task.ok("/v1/move", over).await });
    db.until(Gate::WAITING, 1).await;
    assert_eq!(db.number(WRITTEN).await, 2 * 5);
    for path in ["/a/put", "/a/new", "/b/displaced"] {
        client.put(path, json!("between")).await;
    }
    client.delete("/a/deleted").await;
    let touch = json!({"agent_id": "ada", "path": "/a/touched", "ttl_seconds": 1000});
    client.ok("/v1/touch", touch).await;
    gate.open().await;
    assert_eq!(moving.await.unwrap()["moved"], 5, "all but the deleted one");
    let paths = ["/b/displaced", "/b/new", "/b/put", "/b/same", "/b/touched"];
    assert_eq!(glob(client, "/**").await, paths);
    for path in paths {
        let got = client.get(path).await;
        let value = if ["/b/new", "/b/put"].contains(&path) { "between" } else { "before" };
        assert_eq!(got["value"], value, "{path}");
        assert_eq!(got["expires_at"].is_string(), path == "/b/touched", "{path}");
    }
    // What has not changed is written once.
    assert_eq!(db.number(WRITTEN).await, 2 * 5 + 4 + 2 * 4);
    is_whole(&db).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_write_on_while_ten_thousand_entries_move() {
    let (api, db) = Api::start().await;
    fill(&db, "10000").await;
    let other = api.client.with_key(&tenants_key(&db).await);
    other.put("/warm", json!(1)).await;
    api.client.put("/warm", json!(1)).await;
    let (end, ended) = tokio::sync::watch::channel(false);
    let writers = [api.client.clone(), other].map(|client| {
        let ended = ended.clone();
        tokio::spawn(async move {
            let (mut longest, mut puts) = (Duration::ZERO, 0);
            while !*ended.borrow() {
                let begun = Instant::now();
                client.put("/beside", json!(puts)).await;
                longest = longest.max(begun.elapsed());
                puts += 1;
            }
            (longest, puts)
        })
    });
    let begun = Instant::now();
    let moved = api.client.ok("/v1/move", request("/from", "/to")).await;
    let took = begun.elapsed();
    end.send(true).unwrap();
    assert_eq!(moved["moved"], 10_000);
    let [own, others] = writers;
    let (own, others) = (own.await.unwrap(), others.await.unwrap());
    println!(
        "a move of 10,000 entries took {took:?}; puts meanwhile: {own:?} of the tenant, {others:?} of another"
    );
    // The machine may have much else to do. Whoever waited for the move would wait for all of it.
    assert!(own.0 < took * 3 / 4, "the tenant's own puts: {own:?}");
    assert!(others.0 < took * 3 / 4, "another tenant's puts: {others:?}");
    assert_eq!(
        db.number("SELECT count(*) FROM entries WHERE path LIKE '/to/%' AND deleted_at IS NULL")
            .await,
        10_000
    );
    let begun = Instant::now();
    let delete = json!({"agent_id": "ada", "path": "/to", "recursive": true});
    assert_eq!(api.client.ok("/v1/delete", delete).await["deleted_entries"], 10_000);
    println!("their delete took {:?}", begun.elapsed());
    let broken =
        "SELECT count(*) FROM entries e LEFT JOIN entry_versions v ON v.id = e.latest_version_id
                   WHERE v.version <> e.version OR v.created_at <> e.updated_at OR v.id IS NULL";
    assert_eq!(db.number(broken).await, 0);
}
