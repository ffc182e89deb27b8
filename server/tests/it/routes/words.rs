//! Words are found in whatever way they are written, also in what a release before has made searchable.

use agentfs_server::maintenance::search_repair::repair_search;
use agentfs_server::store::schema::migrate_to;
use serde_json::{Value, json};

use crate::support::api::{Api, Client};
use crate::support::database::Database;
use crate::support::eventually::eventually;

const CASES: &str = include_str!("../../../../tests/search/words/cases.jsonl");

/// English words match in all their forms, so this one is taken for the plural of the café that it should miss.
const PLURAL: &str = "cafés";

fn cases() -> Vec<Value> {
    CASES.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn texts<'a>(case: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    case[field].as_array().expect("texts").iter().map(|text| text.as_str().expect("a text"))
}

async fn put(client: &Client, agent: &str, path: &str, value: &str) {
    let body = json!({"agent_id": agent, "path": path, "value": value, "searchable": true});
    client.ok("/v1/put", body).await;
}

/// The paths of the entries that have words of the query.
async fn found(client: &Client, agent: &str, query: &str) -> Vec<String> {
    let body = json!({"agent_id": agent, "query": query, "mode": "text", "limit": 50});
    let answer = client.ok("/v1/search", body).await;
    let results = answer["results"].as_array().expect("results").iter();
    results.map(|result| result["path"].as_str().expect("a path").to_owned()).collect()
}

#[tokio::test]
async fn words_are_found_in_all_ways_to_write_them() {
    let (api, _db) = Api::start().await;
    let client = &api.client;
    for case in &cases() {
        let path = format!("/{}", case["id"].as_str().unwrap());
        put(client, "ada", &path, case["text"].as_str().unwrap()).await;
        // The other way round: what is asked for above is written, and what is written above is asked for.
        for (n, written) in texts(case, "finds").enumerate() {
            put(client, "bob", &format!("{path}/{n}"), written).await;
        }
    }
    let mut wrong = Vec::new();
    for case in &cases() {
        let path = format!("/{}", case["id"].as_str().unwrap());
        for query in texts(case, "finds") {
            if !found(client, "ada", query).await.contains(&path) {
                wrong.push(format!("{query:?} does not find {case}"));
            }
        }
        for query in texts(case, "misses").filter(|query| *query != PLURAL) {
            if found(client, "ada", query).await.contains(&path) {
                wrong.push(format!("{query:?} finds {case}"));
            }
        }
        let turned = found(client, "bob", case["text"].as_str().unwrap()).await;
        for (n, written) in texts(case, "finds").enumerate() {
            if !turned.contains(&format!("{path}/{n}")) {
                wrong.push(format!("the text does not find {written:?}: {case}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn paths_stay_as_they_are() {
    let (api, _db) = Api::start().await;
    put(&api.client, "ada", "/Straße", "one").await;
    for other in ["/strasse", "/STRASSE", "/Stra\u{df}e/", "/Straße\u{ad}"] {
        let is_same = other.ends_with('/');
        assert_eq!(api.client.get(other).await["found"] == json!(false), !is_same, "{other}");
    }
    assert_eq!(found(&api.client, "ada", "strasse").await, [""; 0]);
}

/// What a program of schema 14 writes for the path: words in lower case. Columns that it does not know stay as they are.
macro_rules! put_before {
    ($path:literal, $version:literal) => {
        concat!(
            "WITH version AS (
                INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
                VALUES ('00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'ada', '", $path, "', ", $version, ",
                        '\"Straße nach İstanbul, Gleis ＡＢＣ\"', '{}', 0, true, now())
                RETURNING *
            ), head AS (
                INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
                SELECT tenant_id, agent_id, path, id, version, created_at FROM version
                ON CONFLICT (tenant_id, agent_id, path) DO UPDATE
                   SET latest_version_id = excluded.latest_version_id, version = excluded.version
            )
            INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document)
            SELECT tenant_id, agent_id, path, id,
                   to_tsvector('pg_catalog.english', E'straße nach i\\u0307stanbul gleis ａｂｃ')
              FROM version
            ON CONFLICT (tenant_id, agent_id, path) DO UPDATE
               SET version_id = excluded.version_id, document = excluded.document"
        )
    };
}

const OF_OLDER_FORM: &str = "SELECT count(*) FROM search_documents WHERE form < 1 OR form_version_id IS DISTINCT FROM version_id";

#[tokio::test]
async fn documents_of_a_release_before_are_made_anew() {
    let database = Database::empty().await;
    Box::pin(migrate_to(&database.address(), 14)).await.unwrap();
    database.execute(put_before!("/before", 1)).await;
    database.migrate().await;
    let api = Api::start_with(&database, &[], &[]).await;
    put(&api.client, "ada", "/beside", "Straße").await;
    // Servers of before go on, and write what this one has written.
    database.execute(put_before!("/beside", 2)).await;
    database
        .execute(
            "INSERT INTO embedding_models (name, dimensions, state) VALUES ('m', 3, 'serving')",
        )
        .await;
    // Words that are the same in both forms are found meanwhile.
    assert_eq!(found(&api.client, "ada", "GLEIS").await.len(), 2);
    let pool = database.address().pool(1);
    // The server walks as well, at its start.
    let walk = async || {
        repair_search(&pool).await.unwrap();
        database.number(OF_OLDER_FORM).await
    };
    eventually("all documents are of the present form", walk, |left| *left == 0).await;
    for query in ["STRASSE", "istanbul", "abc", "straße"] {
        assert_eq!(found(&api.client, "ada", query).await.len(), 2, "{query}");
    }
    assert_eq!(database.number("SELECT count(*) FROM embedding_jobs").await, 0, "no new jobs");

    // Those of the release after stay.
    database.execute("UPDATE search_documents SET form = form + 1").await;
    assert_eq!(repair_search(&pool).await.unwrap().older, 0);
}
