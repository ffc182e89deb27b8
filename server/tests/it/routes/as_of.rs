//! Reads of the past.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agentfs_server::domain::memory::agent_id::AgentId;
use agentfs_server::domain::memory::path::EntryPath;
use agentfs_server::domain::{DEFAULT_TENANT, EntryKey, rfc3339};
use agentfs_server::maintenance::sweeper::sweep_once;
use agentfs_server::store::entries::as_of;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::support::api::{Api, Client};

/// What became of a path, and when.
struct Written {
    at: Timestamp,
    path: &'static str,
    /// Value and version; none where it was deleted or has expired by the time of the questions.
    shown: Option<(Value, Value)>,
}

const PATHS: [&str; 12] = [
    "/a",
    "/a-b",
    "/a/b",
    "/a.b/c",
    "/a/b/c",
    "/a/b-c",
    "/a-/x",
    "/a\u{1}z/q",
    "/a-b/y",
    "/b!/c/d",
    "/b",
    "/é/a",
];

/// A random series of writes.
async fn write(client: &Client, rng: &mut StdRng, count: usize) -> Vec<Written> {
    let mut written = Vec::new();
    for i in 0..count {
        let path = PATHS[rng.random_range(0..PATHS.len())];
        let mut body = json!({"agent_id": "ada", "path": path});
        let (route, ttl) = match rng.random_range(0..10) {
            0..4 => ("/v1/put", None),
            4..6 => ("/v1/put", Some(1)),
            6 => ("/v1/put", Some(1000)),
            _ => ("/v1/delete", None),
        };
        if route == "/v1/put" {
            body["value"] = json!(i);
            body["ttl_seconds"] = json!(ttl);
        }
        let answer = client.ok(route, body).await;
        if answer["deleted"] == false {
            continue;
        }
        let at = answer["created_at"].as_str().unwrap().parse().unwrap();
        let stays = route == "/v1/put" && ttl != Some(1);
        let shown = stays.then(|| (json!(i), answer["version_id"].clone()));
        written.push(Written { at, path, shown });
    }
    written
}

type Tree = BTreeMap<&'static str, (Value, Value)>;

/// The tree at a moment, by the rule: the last version of each path, unless it is gone.
fn tree(written: &[Written], moment: Timestamp) -> Tree {
    let mut tree = BTreeMap::new();
    for write in written.iter().filter(|write| write.at <= moment) {
        match &write.shown {
            Some(shown) => drop(tree.insert(write.path, shown.clone())),
            None => drop(tree.remove(write.path)),
        }
    }
    tree
}

fn children(tree: &Tree, prefix: &str) -> Vec<Value> {
    let mut children = BTreeSet::new();
    for path in tree.keys() {
        if let Some(below) = path.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')) {
            let name = below.split('/').next().unwrap();
            // "dir" after "file" of one path.
            children.insert((format!("{prefix}/{name}"), name.len() < below.len()));
        }
    }
    let kind = |is_dir: bool| if is_dir { "dir" } else { "file" };
    children.iter().map(|(path, is_dir)| json!({"path": path, "type": kind(*is_dir)})).collect()
}

/// Asks every route for a moment, and compares.
async fn ask(client: &Client, tree: &Tree, moment: &str, limit: usize) {
    let of = |fields: Value| {
        let mut body = json!({"agent_id": "ada", "as_of": moment, "limit": limit});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    for path in PATHS {
        let got =
            client.ok("/v1/get", json!({"agent_id": "ada", "path": path, "as_of": moment})).await;
        match tree.get(path) {
            Some((value, id)) => {
                assert_eq!((&got["value"], &got["version_id"]), (value, id), "{path}");
            }
            None => assert_eq!(got, json!({"found": false}), "{path}"),
        }
    }
    let dumped = client.pages("/v1/dump", of(json!({})), "entries").await.concat();
    let dumped: Vec<_> =
        dumped.iter().map(|e| (&e["path"], &e["value"], &e["version_id"])).collect();
    let expected: Vec<_> =
        tree.iter().map(|(path, (value, id))| (json!(path), value, id)).collect();
    assert_eq!(dumped, expected.iter().map(|(p, v, i)| (p, *v, *i)).collect::<Vec<_>>());
    for (pattern, begin) in [("/**", "/"), ("/a/**", "/a/"), ("/a-*/**", "/a-")] {
        let globbed = client.pages("/v1/glob", of(json!({"pattern": pattern})), "paths").await;
        let expected: Vec<_> = tree
            .keys()
            .filter(|path| path.starts_with(begin) && (begin != "/a-" || path[1..].contains('/')))
            .map(|path| json!(path))
            .collect();
        assert_eq!(globbed.concat(), expected, "{pattern}");
    }
    for prefix in ["", "/a", "/a/b", "/a-b", "/b!", "/nowhere"] {
        let body = of(json!({"prefix": format!("{prefix}/")}));
        let listed = client.pages("/v1/list", body, "items").await;
        assert!(listed.iter().all(|page| page.len() <= limit));
        assert_eq!(listed.concat(), children(tree, prefix), "{prefix}");
    }
}

#[tokio::test]
async fn every_route_shows_the_tree_as_it_was() {
    let (api, db) = Api::start().await;
    let pool = db.address().pool(1);
    for seed in 0..3 {
        db.execute("TRUNCATE entries, entry_versions").await;
        let mut rng = StdRng::seed_from_u64(seed);
        let written = write(&api.client, &mut rng, 80).await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        for round in 0..16 {
            let write = &written[rng.random_range(0..written.len())];
            let shift = [0, -1, 1, rng.random_range(-3_000..3_000)][round % 4];
            let moment = write.at + SignedDuration::from_micros(shift);
            let limit = [1, 2, 3, 100][rng.random_range(0..4)];
            eprintln!("seed {seed}, as of {moment}, limit {limit}");
            ask(&api.client, &tree(&written, moment), &moment.to_string(), limit).await;
            if round == 7 {
                sweep_once(&pool).await.unwrap();
            }
        }
        let before = written[0].at - SignedDuration::from_secs(1);
        ask(&api.client, &Tree::new(), &rfc3339(before), 2).await;
    }
}

#[tokio::test]
async fn moments_to_come_and_what_is_no_moment_are_refused_with_a_sentence() {
    let (api, _db) = Api::start().await;
    let put = api.client.put("/x", json!(1)).await;
    let routes = [
        ("/v1/get", json!({"path": "/x"})),
        ("/v1/list", json!({"prefix": "/"})),
        ("/v1/glob", json!({"pattern": "/*"})),
        ("/v1/dump", json!({})),
        ("/v1/search", json!({"query": "x"})),
        ("/v1/search", json!({"query": " "})),
    ];
    for (route, fields) in routes {
        let with = |moment: Value| {
            let mut body = fields.clone();
            body["agent_id"] = json!("ada");
            body["as_of"] = moment;
            body
        };
        for (moment, sentence) in [
            (
                "2999-01-01T00:00:00Z",
                "as_of is 2999-01-01T00:00:00.000000Z, which is in the future",
            ),
            ("yesterday", "as_of is \"yesterday\"; it must be a moment with its offset"),
            ("2026-01-31T12:00:00", "such as 2026-01-31T12:00:00Z"),
            ("", "as_of is \"\""),
        ] {
            let (status, code, message) = api.client.error(route, with(json!(moment))).await;
            assert_eq!((status, code.as_str()), (400, "VALIDATION_ERROR"), "{route}: {message}");
            assert!(message.contains(sentence), "{route}: {message}");
        }
        assert_eq!(api.client.error(route, with(json!(7))).await.0, 400);
        // Of no use, but a moment of the past.
        for moment in ["-009999-01-02T01:59:59Z", "1970-01-01T00:00:00Z"] {
            api.client.ok(route, with(json!(moment))).await;
        }
        // The moment that a put was answered with is past at once, and null is no moment.
        api.client.ok(route, with(put["created_at"].clone())).await;
        api.client.ok(route, with(Value::Null)).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_a_little_ahead_asks_for_now() {
    let (api, _db) = Api::start().await;
    let body = json!({"agent_id": "ada", "path": "/x", "value": "peanuts", "searchable": true});
    api.client.ok("/v1/put", body).await;
    let ahead = |ms: i64| rfc3339(Timestamp::now() + SignedDuration::from_millis(ms));
    for (route, fields, field) in [
        ("/v1/get", json!({"path": "/x"}), "value"),
        ("/v1/list", json!({"prefix": "/"}), "items"),
        ("/v1/glob", json!({"pattern": "/*"}), "paths"),
        ("/v1/dump", json!({}), "entries"),
        ("/v1/search", json!({"query": "peanuts"}), "results"),
    ] {
        let mut body = fields.clone();
        body["agent_id"] = json!("ada");
        let present = api.client.ok(route, body.clone()).await;
        body["as_of"] = json!(ahead(4500));
        assert_eq!(api.client.ok(route, body.clone()).await[field], present[field], "{route}");
        body["as_of"] = json!(ahead(60_000));
        let (_, _, message) = api.client.error(route, body).await;
        assert!(message.contains("in the future"), "{route}: {message}");
    }
}

fn key(path: &str) -> EntryKey {
    EntryKey {
        tenant: DEFAULT_TENANT,
        agent: AgentId::parse("ada").unwrap(),
        path: EntryPath::parse(path).unwrap(),
    }
}

/// 20,000 versions of /hot, a second apart, the first at 2026-01-01T00:00:01Z.
const LONG_HISTORY: &str = "
    INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'ada', '/hot', i, to_json(i), '{}', 0, false,
           '2026-01-01T00:00:00Z'::timestamptz + i * interval '1 second'
      FROM generate_series(1, 20000) i;
    INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
    SELECT tenant_id, agent_id, path, id, version, created_at FROM entry_versions WHERE version = 20000";

#[tokio::test]
async fn a_long_history_is_searched_and_not_read() {
    let (api, db) = Api::start().await;
    sqlx::raw_sql(LONG_HISTORY).execute(&mut db.connect().await).await.unwrap();
    let base: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for second in [0, 1, 2, 777, 9_999, 19_998, 19_999, 20_000, 30_000] {
        let moment = base + SignedDuration::from_secs(second);
        let body = json!({"agent_id": "ada", "path": "/hot", "as_of": moment.to_string()});
        let expected = if second == 0 { Value::Null } else { json!(second.min(20_000)) };
        assert_eq!(api.client.ok("/v1/get", body).await["value"], expected);

        let mut connection = db.connect().await;
        let mut transaction = connection.begin().await.unwrap();
        as_of::version(&mut *transaction, &key("/hot"), moment).await.unwrap();
        let read: i64 = sqlx::query_scalar(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'entry_versions'",
        )
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
        assert!(read <= 16, "{read} versions were read for second {second}");
    }
}

#[tokio::test]
async fn a_history_with_gaps_is_searched_all_the_same() {
    let (api, db) = Api::start().await;
    sqlx::raw_sql(LONG_HISTORY).execute(&mut db.connect().await).await.unwrap();
    db.execute(
        "DELETE FROM entry_versions WHERE version < 12345 OR version BETWEEN 15000 AND 15999",
    )
    .await;
    let base: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for (second, expected) in [
        (1, Value::Null),
        (12_344, Value::Null),
        (12_345, json!(12_345)),
        (14_999, json!(14_999)),
        (15_500, json!(14_999)),
        (16_000, json!(16_000)),
    ] {
        let moment = (base + SignedDuration::from_secs(second)).to_string();
        let body = json!({"agent_id": "ada", "path": "/hot", "as_of": moment});
        assert_eq!(api.client.ok("/v1/get", body).await["value"], expected, "{second}");
    }
}

#[tokio::test]
async fn a_list_that_finds_little_in_much_goes_on_with_its_cursor() {
    let (api, db) = Api::start().await;
    for path in ["/a", "/d/old", "/d-/x", "/e/old/z", "/f"] {
        api.client.put(path, json!(0)).await;
    }
    let moment = api.client.put("/g", json!(0)).await["created_at"].clone();
    // Written since: much below /d and /e before what was there, and many children that were not.
    db.execute(
        "INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
         SELECT '00000000-0000-0000-0000-000000000000', 'ada', p || i, gen_random_uuid(), 1, now()
           FROM unnest(ARRAY['/d/', '/e/new/', '/c']) p, generate_series(1, CASE p WHEN '/c' THEN 5000 ELSE 25000 END) i",
    )
    .await;
    let expected = [
        ("/a", "file"),
        ("/d", "dir"),
        ("/d-", "dir"),
        ("/e", "dir"),
        ("/f", "file"),
        ("/g", "file"),
    ]
    .map(|(path, kind)| json!({"path": path, "type": kind}));
    for (limit, requests) in [(1000, 5), (1, 10)] {
        let body = json!({"agent_id": "ada", "prefix": "/", "as_of": moment, "limit": limit});
        let pages = api.client.pages("/v1/list", body, "items").await;
        assert_eq!(pages.concat(), expected);
        // A request makes 20 statements, of 200 children or of 1000 heads below one.
        assert!((4..=requests).contains(&pages.len()), "{} pages of {limit}", pages.len());
    }
}

#[tokio::test]
async fn a_list_of_the_past_agrees_with_one_of_now() {
    let (api, _db) = Api::start().await;
    let mut rng = StdRng::seed_from_u64(7);
    let mut segment = || -> String {
        (0..rng.random_range(1..4))
            .map(|_| ['a', '-', '!', '0', '\u{1}'][rng.random_range(0..5)])
            .collect()
    };
    let mut paths = Vec::new();
    for i in 0..200 {
        let path: String = (0..=i % 4).flat_map(|_| ["/".to_owned(), segment()]).collect();
        api.client.put(&path, json!(0)).await;
        paths.push(path);
    }
    for path in paths.iter().step_by(3) {
        api.client.delete(path).await;
    }
    let moment = api.client.put("/a", json!(0)).await["created_at"].clone();
    for (i, prefix) in paths.iter().map(String::as_str).chain(["/"]).enumerate() {
        let limit = [1, 3, 1000][i % 3];
        let details = i % 2 == 0;
        let mut body =
            json!({"agent_id": "ada", "prefix": prefix, "limit": limit, "details": details});
        let now = api.client.pages("/v1/list", body.clone(), "items").await;
        body["as_of"] = moment.clone();
        let then = api.client.pages("/v1/list", body, "items").await;
        assert_eq!(then, now, "{prefix:?}, limit {limit}");
    }
}
