//! What the API shows to those who have its address alone: `/` and `/docs`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use reqwest::Response;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::api::{Api, Client};

/// What a route answers without a key.
async fn get(client: &Client, route: &str) -> Response {
    let answer = client.http.get(format!("{}{route}", client.url)).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{route}");
    answer
}

#[tokio::test]
async fn the_root_says_what_answers_and_where_to_go_on() {
    let (api, _db) = Api::start().await;
    let answer = get(&api.client, "/").await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let root: Value = answer.json().await.unwrap();
    assert_eq!(root["name"], "AgentFS");
    assert_eq!(root["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(root["max_body_bytes"], 1 << 20);
    assert!(
        root["authentication"].as_str().unwrap().contains("Authorization: Bearer <id>.<secret>")
    );
    for route in ["docs", "openapi"] {
        get(&api.client, root[route].as_str().unwrap()).await;
    }
    let metrics = api.metrics().await;
    assert!(metrics.contains(r#"route="/docs""#), "{metrics}");
}

#[tokio::test]
async fn the_page_of_the_description_loads_nothing_from_elsewhere() {
    let (api, _db) = Api::start().await;
    let answer = get(&api.client, "/docs").await;
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let page = answer.text().await.unwrap();

    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    for loose in ["unsafe", "*", "http", "strict-dynamic"] {
        assert!(!policy.contains(loose), "{policy}");
    }
    for (name, directive) in [("style", "style-src"), ("script", "script-src")] {
        let (_, rest) = page.split_once(&format!("<{name}>")).unwrap();
        let (text, rest) = rest.split_once(&format!("</{name}>")).unwrap();
        assert!(!rest.contains(&format!("<{name}")), "there is a second {name}");
        let hash = STANDARD.encode(Sha256::digest(text));
        assert!(policy.contains(&format!("{directive} 'sha256-{hash}';")), "{policy}");
    }
    assert!(!page.contains("//cdn") && !page.contains("http:") && !page.contains("https:"));
    let references =
        Regex::new(r#"(?:src|href|action)\s*[=:]\s*["'`]([^"'`]*)|url\(|@import|\bimport\b"#)
            .unwrap();
    let references: Vec<&str> = references
        .captures_iter(&page)
        .map(|found| found.get(1).map_or("loads", |to| to.as_str()))
        .collect();
    let is_here = |to: &&&str| to.starts_with('#') || ["openapi.json", "data:,"].contains(*to);
    assert_eq!(references.iter().filter(|to| !is_here(to)).count(), 0, "{references:?}");
    assert!(references.contains(&"openapi.json") && page.contains(r#"fetch("openapi.json")"#));
}
