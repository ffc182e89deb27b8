//! The description of the API.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::api::Api;
use crate::support::cli::agentfs;

/// What clients are generated from.
const KEPT: &str = include_str!("../../../../api/openapi.json");

#[test]
fn the_kept_description_is_the_one_that_is_printed() {
    let printed = agentfs(&["openapi"], &[]).text();
    assert!(
        printed.trim_end() == KEPT.trim_end(),
        "run `make generate` and commit api/openapi.json"
    );
}

#[tokio::test]
async fn the_description_names_every_route_and_what_it_refers_to_exists() {
    let (api, _db) = Api::start().await;
    let url = format!("{}/openapi.json", api.client.url);
    let description: Value = api.client.http.get(url).send().await.unwrap().json().await.unwrap();
    assert!(description == serde_json::from_str::<Value>(KEPT).unwrap(), "another than is kept");
    assert_eq!(description["openapi"], "3.1.0");
    let paths: BTreeSet<&str> =
        description["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let page = include_str!("../../../../docs/API.md");
    for path in &paths {
        let named = page.contains(path) || path.contains("readyz") || path.contains("livez");
        assert!(named, "docs/API.md does not speak of {path}");
    }
    for route in ["/v1/put", "/v1/get", "/v1/delete", "/v1/batch", "/v1/history", "/v1/dump"] {
        assert!(paths.contains(route), "{route} is not described");
        let operation = &description["paths"][route]["post"];
        assert_eq!(operation["requestBody"]["required"], true, "{route}");
        for status in ["200", "400", "401", "503"] {
            assert!(operation["responses"][status].is_object(), "{route} {status}");
        }
    }
    let text = description.to_string();
    let schemas = description["components"]["schemas"].as_object().unwrap();
    for code in schemas["ErrorCode"]["enum"].as_array().unwrap() {
        let code = code.as_str().unwrap();
        assert!(page.contains(&format!("`{code}`")), "docs/API.md does not speak of {code}");
    }
    let referred =
        text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap());
    for name in referred {
        assert!(schemas.contains_key(name), "there is no schema {name}");
    }
}
