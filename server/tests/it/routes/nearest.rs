//! Filters never cost results, and the nearest are found: by comparison and by the index, on thousands of vectors.

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _};

use crate::support::api::Api;
use crate::support::cli::admin_json;
use crate::support::database::Database;
use crate::support::eventually::eventually;
use crate::support::provider::{Provider, vector};
use crate::support::semantic::{cosine, start};
use crate::support::worker::variables;

const COUNT: usize = 12_000;

/// The kept share of a filter, by its number of entries: all, one of ten, of a hundred, of a thousand.
fn place(n: usize) -> (&'static str, &'static str) {
    match n % 1000 {
        0 => ("/thousandth", "{tenth,hundredth,thousandth}"),
        100 | 200 | 300 | 400 | 500 | 600 | 700 | 800 | 900 => ("/hundredth", "{tenth,hundredth}"),
        n if n % 10 == 0 => ("/tenth", "{tenth}"),
        _ => ("/rest", "{}"),
    }
}

/// A vector of no particular direction, but always the same.
fn scattered(n: usize) -> Vec<f32> {
    let mut state = n as u64 + 1;
    let mut next = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..8).map(|_| next()).collect()
}

/// The benchmark fills its database likewise.
const FILL: &str = include_str!("../../../../tests/load/src/bench_search/fill.sql");

async fn fill(database: &Database) -> Vec<(String, &'static str, Vec<f32>)> {
    let all: Vec<(String, &str, Vec<f32>)> =
        (0..COUNT).map(|n| (format!("{}/{n}", place(n).0), place(n).1, scattered(n))).collect();
    let mut connection = database.connect().await;
    connection
        .execute("INSERT INTO embedding_models (name, dimensions, state) VALUES ('fake/8', 8, 'serving')")
        .await
        .unwrap();
    sqlx::query(FILL)
        .bind(all.iter().map(|(path, _, _)| path.as_str()).collect::<Vec<_>>())
        .bind(all.iter().map(|(_, tags, _)| *tags).collect::<Vec<_>>())
        .bind(all.iter().map(|(_, _, vector)| format!("{vector:?}")).collect::<Vec<_>>())
        .bind(1)
        .execute(&mut connection)
        .await
        .unwrap();
    connection
        .execute(
            "UPDATE entry_versions SET value = json_build_object('place', split_part(path, '/', 2))",
        )
        .await
        .unwrap();
    all
}

/// Asks with each filter; says how many of the nearest there are among what was found, out of those asked for. `likeness` is that of an
/// entry, by the cosine of its vector.
async fn recall(
    api: &Api,
    all: &[(String, &'static str, Vec<f32>)],
    likeness: fn(f64) -> f64,
) -> f64 {
    let (mut right, mut wanted) = (0, 0);
    for (filter, keeps) in [
        (json!({}), ""),
        (json!({"tags_any": ["tenth"]}), "tenth"),
        (json!({"tags_any": ["hundredth", "nowhere"]}), "hundredth"),
        (json!({"tags_any": ["thousandth"]}), "thousandth"),
        (json!({"path_prefix": "/tenth"}), "/tenth/"),
        (json!({"path_prefix": "/thousandth"}), "/thousandth/"),
        (json!({"filter": {"place": "tenth"}}), "/tenth/"),
        (json!({"filter": {"place": "thousandth"}, "tags_any": ["tenth"]}), "/thousandth/"),
    ] {
        for query in ["alpha", "a longer question?", "ZZZ 42"] {
            let mut body = json!({"agent_id": "ada", "query": query, "limit": 10});
            body.as_object_mut().unwrap().extend(filter.as_object().unwrap().clone());
            let answer = api.client.ok("/v1/search", body).await;
            let found: Vec<&str> = answer["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|result| result["path"].as_str().unwrap())
                .collect();
            let kept = all.iter().filter(|(path, tags, _)| {
                if keeps.starts_with('/') { path.starts_with(keeps) } else { tags.contains(keeps) }
            });
            let mut kept: Vec<(&str, f64)> = kept
                .map(|(path, _, numbers)| {
                    (path.as_str(), likeness(cosine(numbers, &vector(query))))
                })
                .collect();
            kept.sort_by(|a, b| b.1.total_cmp(&a.1));
            assert_eq!(found.len(), kept.len().min(10), "{filter} {query}");
            assert!(found.iter().all(|path| kept.iter().any(|(k, _)| k == path)), "{filter}");
            // Half precision makes equals of those that are nearly so.
            let least = kept[found.len() - 1].1 - 2e-3;
            let near = |path: &&&str| kept.iter().any(|(k, like)| k == *path && *like >= least);
            right += found.iter().filter(near).count();
            wanted += found.len();
            let similar = |result: &Value| result["similarity"].as_f64().unwrap();
            let results = answer["results"].as_array().unwrap();
            assert!(results.is_sorted_by(|a, b| similar(a) >= similar(b)), "{answer}");
        }
    }
    f64::from(right as u32) / f64::from(wanted as u32)
}

const USES: &str =
    "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'embeddings_hnsw_1'";

#[tokio::test(flavor = "multi_thread")]
async fn filters_keep_what_they_should_by_comparison_and_by_the_index() {
    let (api, database, provider): (Api, Database, Provider) = start(&[]).await;
    let all = fill(&database).await;
    assert!(recall(&api, &all, |cosine| cosine).await >= 1.0, "by comparison");

    let built = admin_json(&database, &["embeddings", "index", "fake/8"]);
    assert_eq!(built["ok"], true, "{built}");
    let status = admin_json(&database, &["embeddings", "status"]);
    assert_eq!(status["models"][0]["index"], "ready", "{status}");
    admin_json(&database, &["embeddings", "index", "fake/8"]);
    // A process of its own, which knows of the index from the start.
    let second = api.replica(&database, &variables(&provider, &[])).await;
    for analysed in [false, true] {
        if analysed {
            database.execute("ANALYZE").await;
        }
        let recall = recall(&second, &all, |cosine| cosine).await;
        assert!(recall >= 0.98, "by the index: {recall}, analysed: {analysed}");
    }
    // What has gone is not found by the index either, and costs no results: here, the nearest 100 of all.
    let query = "alpha";
    let mut nearest: Vec<(&str, f64)> = all
        .iter()
        .map(|(path, _, numbers)| (path.as_str(), cosine(numbers, &vector(query))))
        .collect();
    nearest.sort_by(|a, b| b.1.total_cmp(&a.1));
    let gone: Vec<&str> = nearest[..100].iter().map(|(path, _)| *path).collect();
    let list = gone.iter().map(|path| format!("'{path}'")).collect::<Vec<_>>().join(",");
    let expire = format!("UPDATE entries SET expires_at = now() WHERE path IN ({list})");
    database.connect().await.execute(AssertSqlSafe(expire)).await.unwrap();
    let body = json!({"agent_id": "ada", "query": query, "limit": 50});
    let answer = second.client.ok("/v1/search", body).await;
    let found: Vec<&str> =
        answer["results"].as_array().unwrap().iter().map(|r| r["path"].as_str().unwrap()).collect();
    assert_eq!(found.len(), 50);
    assert!(found.iter().all(|path| !gone.contains(path)), "{found:?}");
    // What was written since a moment is not found by its vector in a search of that moment, and costs no results either.
    let as_of = Timestamp::now().to_string();
    let list = found.iter().map(|path| format!("'{path}'")).collect::<Vec<_>>().join(",");
    let written = format!(
        "UPDATE entries SET version = 2, updated_at = clock_timestamp() WHERE path IN ({list})"
    );
    database.connect().await.execute(AssertSqlSafe(written)).await.unwrap();
    let body =
        json!({"agent_id": "ada", "query": query, "limit": 50, "mode": "semantic", "as_of": as_of});
    let answer = second.client.ok("/v1/search", body).await;
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 50);
    let is_written = |result: &Value| found.contains(&result["path"].as_str().unwrap());
    assert!(!results.iter().any(is_written), "{answer}");
    assert!(answer["note"].as_str().unwrap().starts_with("50 entries written"), "{answer}");
    let uses = async || database.number(USES).await;
    eventually("the index is used", uses, |uses| *uses > 0).await;
}

/// Each entry has two further chunks: the opposite of its vector, and one that is far from every query.
const FURTHER: &str = "
    INSERT INTO embedding_chunks (tenant_id, agent_id, path, model_id, n, version_id, embedding)
    SELECT tenant_id, agent_id, path, model_id, 1, version_id, embedding * array_fill(-1, ARRAY[8])::halfvec FROM embeddings;
    INSERT INTO embedding_chunks (tenant_id, agent_id, path, model_id, n, version_id, embedding)
    SELECT tenant_id, agent_id, path, model_id, 2, version_id, array_fill(-1, ARRAY[8])::halfvec FROM embeddings";
const USES_OF_FURTHER: &str =
    "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'embedding_chunks_hnsw_1'";

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_as_near_as_its_nearest_chunk_by_comparison_and_by_the_index() {
    let (api, database, provider): (Api, Database, Provider) = start(&[]).await;
    let all = fill(&database).await;
    database.execute(FURTHER).await;
    assert!(recall(&api, &all, f64::abs).await >= 1.0, "by comparison");

    database.execute("DELETE FROM embedding_chunks WHERE n = 2").await;
    admin_json(&database, &["embeddings", "index", "fake/8"]);
    let second = api.replica(&database, &variables(&provider, &[])).await;
    for analysed in [false, true] {
        if analysed {
            database.execute("ANALYZE").await;
        }
        let recall = recall(&second, &all, f64::abs).await;
        assert!(recall >= 0.98, "by the index: {recall}, analysed: {analysed}");
    }
    let uses = async || database.number(USES_OF_FURTHER).await;
    eventually("the index is used", uses, |uses| *uses > 0).await;
}
