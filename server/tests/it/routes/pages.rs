//! Pages while others write: what is there all the time appears exactly once, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::api::{Api, Client};

/// Paths that are always there; those of odd number lie between them and come and go.
fn path(number: usize) -> String {
    let shapes = ["/t/n", "/t/n-", "/t/n/", "/t/n.d/e", "/t/n/d/"];
    format!("{}{:03}", shapes[number % shapes.len()], number)
}

const PATHS: usize = 60;

/// Overwrites stable paths, and puts and deletes the others, until told to stop.
fn writer(client: Client, seed: u64, stop: Arc<AtomicBool>) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut writes = 0;
        while !stop.load(Ordering::Relaxed) {
            let number = rng.random_range(0..PATHS);
            let agent = format!("agent-{number:03}");
            for agent in ["ada", &agent] {
                let mut body = json!({"agent_id": agent, "path": path(number)});
                let delete = number % 2 == 1 && rng.random_bool(0.5);
                let route = if delete { "/v1/delete" } else { "/v1/put" };
                if !delete {
                    body["value"] = json!(writes);
                }
                let (status, answer) = client.post(route, body).await;
                // On a machine with much to do, a connection may come too late.
                assert!([200, 503].contains(&status.as_u16()), "{answer}");
                writes += usize::from(status == 200);
            }
        }
        writes
    })
}

fn texts(items: &[Value], field: &str) -> Vec<String> {
    items.iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

/// A child that is both comes as two: told apart by their type, "dir" after "file".
fn kinds(items: &[Value]) -> Vec<String> {
    let kind = |item: &Value| u8::from(item["type"] == "dir");
    items.iter().map(|i| format!("{} {}", i["path"].as_str().unwrap(), kind(i))).collect()
}

/// Sorted without doubles, and of those that are always there, all.
fn check(what: &str, found: &[String], stable: &[String]) {
    assert!(found.is_sorted_by(|a, b| a < b), "{what}: {found:?}");
    let always: Vec<_> = found.iter().filter(|item| stable.contains(item)).collect();
    assert_eq!(always, stable.iter().collect::<Vec<_>>(), "{what}");
}

#[tokio::test]
async fn what_is_there_all_the_time_appears_exactly_once_in_order() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    let mut stable: Vec<String> = (0..PATHS).step_by(2).map(path).collect();
    let agents: Vec<String> = (0..PATHS).step_by(2).map(|n| format!("agent-{n:03}")).collect();
    for number in (0..PATHS).step_by(2) {
        for agent in ["ada", &agents[number / 2]] {
            let body = json!({"agent_id": agent, "path": path(number), "value": number});
            client.ok("/v1/put", body).await;
        }
    }
    for i in 0..10 {
        client.put("/log", json!(i)).await;
    }
    let moment = client.put("/log", json!(10)).await["created_at"].clone();
    stable.push("/log".to_owned());
    stable.sort();
    let body = json!({"agent_id": "ada", "path": "/log"});
    let history = client.pages("/v1/history", body, "versions").await.concat();

    let other = api.replica(&db, &[]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks: Vec<_> = (0..4)
        .map(|seed| writer([client, &other.client][seed % 2].clone(), seed as u64, stop.clone()))
        .collect();
    let (logger, over) = (client.clone(), stop.clone());
    tasks.push(tokio::spawn(async move {
        let mut writes = 0;
        while !over.load(Ordering::Relaxed) {
            let body = json!({"agent_id": "ada", "path": "/log", "value": writes});
            writes += usize::from(logger.post("/v1/put", body).await.0 == 200);
        }
        writes
    }));

    for limit in [1, 2, 3, 7, 100] {
        let pages = async |route: &str, mut body: Value, field: &str| {
            if route != "/v1/agents" {
                body["agent_id"] = json!("ada");
            }
            body["limit"] = json!(limit);
            let pages = client.pages(route, body, field).await;
            assert!(pages.iter().all(|page| page.len() <= limit), "{route}");
            pages.concat()
        };
        let dumped = pages("/v1/dump", json!({}), "entries").await;
        check("dump", &texts(&dumped, "path"), &stable);
        let below: Vec<_> =
            stable.iter().filter(|path| path.starts_with("/t/n/")).cloned().collect();
        let dumped = pages("/v1/dump", json!({"prefix": "/t/n"}), "entries").await;
        check("dump of a prefix", &texts(&dumped, "path"), &below);
        let globbed = pages("/v1/glob", json!({"pattern": "/**"}), "paths").await;
        let globbed: Vec<_> = globbed.iter().map(|p| p.as_str().unwrap().to_owned()).collect();
        check("glob", &globbed, &stable);
        let counted = pages("/v1/agents", json!({}), "agents").await;
        let mut always = agents.clone();
        always.insert(0, "ada".to_owned());
        check("agents", &texts(&counted, "id"), &always);
        let listed = pages("/v1/list", json!({"prefix": "/t"}), "items").await;
        let listed = kinds(&listed);
        let mut children: Vec<_> = stable
            .iter()
            .filter_map(|path| path.strip_prefix("/t/"))
            .map(|below| match below.split_once('/') {
                None => format!("/t/{below} 0"),
                Some((child, _)) => format!("/t/{child} 1"),
            })
            .collect();
        children.sort();
        children.dedup();
        check("list", &listed, &children);
        let deep = json!({"prefix": "/", "depth": 64, "details": true});
        let listed = pages("/v1/list", deep, "items").await;
        assert!(listed.iter().all(|item| item["size"].is_number() == (item["type"] == "file")));
        let files: Vec<_> = listed.into_iter().filter(|item| item["type"] == "file").collect();
        let by_segments = |path: &String| {
            path.split('/').map(str::to_owned).collect::<Vec<String>>().join("\u{1}")
        };
        let mut entries: Vec<_> = stable.iter().map(by_segments).collect();
        entries.sort();
        let files: Vec<_> = texts(&files, "path").iter().map(by_segments).collect();
        check("deep list", &files, &entries);
        let versions = pages("/v1/history", json!({"path": "/log"}), "versions").await;
        assert!(versions.len() >= history.len());
        assert_eq!(versions[versions.len() - history.len()..], history);

        // The past does not move.
        let dumped = pages("/v1/dump", json!({"as_of": moment}), "entries").await;
        assert_eq!(texts(&dumped, "path"), stable);
        let globbed = pages("/v1/glob", json!({"pattern": "/**", "as_of": moment}), "paths").await;
        assert_eq!(globbed, stable.iter().map(|path| json!(path)).collect::<Vec<_>>());
        let listed = pages("/v1/list", json!({"prefix": "/t", "as_of": moment}), "items").await;
        let listed = kinds(&listed);
        assert_eq!(listed, children);
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        assert!(task.await.unwrap() > 5, "writes went on all the time");
    }
}
