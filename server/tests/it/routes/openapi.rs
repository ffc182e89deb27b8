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

/// The operations of routes that take a key.
fn operations(description: &Value) -> Vec<&Value> {
    let paths = description["paths"].as_object().unwrap().values();
    paths.filter_map(|methods| methods.get("post")).collect()
}

#[test]
fn generated_clients_get_names_that_they_can_use() {
    let description: Value = serde_json::from_str(KEPT).unwrap();
    let ids: Vec<&str> =
        operations(&description).iter().map(|of| of["operationId"].as_str().unwrap()).collect();
    // A verb with its object is no keyword of any language, which `delete` and `list` are.
    assert!(ids.iter().all(|id| id.contains('_')), "{ids:?}");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");

    let schemas = &description["components"]["schemas"];
    let named = |name: &str| format!("#/components/schemas/{name}");
    assert_eq!(
        schemas["BatchRequest"]["properties"]["operations"]["items"]["$ref"],
        named("Operation")
    );
    let mapping = schemas["Operation"]["discriminator"]["mapping"].as_object().unwrap();
    let variants = schemas["Operation"]["oneOf"].as_array().unwrap();
    for (op, operation) in
        [("get", "GetOperation"), ("put", "PutOperation"), ("delete", "DeleteOperation")]
    {
        assert_eq!(mapping[op], named(operation));
        assert!(variants.iter().any(|variant| variant["$ref"] == named(operation)), "{op}");
        assert_eq!(schemas[operation]["properties"]["op"]["enum"][0], op);
    }
    assert_eq!(
        schemas["BatchAnswer"]["properties"]["results"]["items"]["$ref"],
        named("OperationResult")
    );
    let results = schemas["OperationResult"]["anyOf"].as_array().unwrap();
    let results: Vec<&str> =
        results.iter().map(|result| result["$ref"].as_str().unwrap()).collect();
    assert_eq!(results, ["GetAnswer", "PutAnswer", "DeleteAnswer", "Envelope"].map(named));
    assert_eq!(schemas["Error"]["properties"]["code"]["$ref"], named("ErrorCode"));
}

#[tokio::test]
async fn headers_that_clients_go_by_are_described_and_come() {
    let (api, db) = Api::start().await;
    let description: Value = serde_json::from_str(KEPT).unwrap();
    for operation in operations(&description) {
        for (status, header) in [
            ("200", "X-RateLimit-Limit"),
            ("200", "X-RateLimit-Remaining"),
            ("200", "X-RateLimit-Reset"),
            ("429", "Retry-After"),
            ("503", "Retry-After"),
        ] {
            let described = &operation["responses"][status]["headers"][header]["$ref"];
            assert_eq!(*described, format!("#/components/headers/{header}"), "{operation}");
        }
    }
    let limited = api.replica(&db, &[("RATE_LIMIT_REQUESTS_PER_MINUTE", "9")]).await;
    let answer = limited.client.request("/v1/agents", "{}").send().await.unwrap();
    for (header, described) in description["components"]["headers"].as_object().unwrap() {
        assert_eq!(described["schema"]["type"], "integer");
        if header != "Retry-After" {
            let value = answer.headers()[header].to_str().unwrap();
            assert!(value.parse::<u32>().is_ok(), "{header}: {value}");
        }
    }
}
