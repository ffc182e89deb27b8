//! MAX_BODY_BYTES: the largest body, and so the largest value.

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::database::Database;

#[tokio::test]
async fn the_largest_body_is_a_setting() {
    let database = Database::migrated().await;
    let larger = Api::start_with(&database, &[], &[("MAX_BODY_BYTES", "3000000")]).await;
    let usual = larger.replica(&database, &[]).await;
    let smaller = larger.replica(&database, &[("MAX_BODY_BYTES", "65536")]).await;
    let value = json!("é".repeat(1_200_000));
    larger.client.put("/large", value.clone()).await;
    // What was put stays, whatever others take.
    for api in [&larger, &usual, &smaller] {
        let got = api.client.get("/large").await;
        assert_eq!(got["size"], 2_400_002);
        assert!(got["value"] == value);
        let history = json!({"agent_id": "ada", "path": "/large"});
        assert_eq!(api.client.ok("/v1/history", history).await["versions"][0]["size"], 2_400_002);
    }
    let put = |bytes: usize| json!({"agent_id": "ada", "path": "/x", "value": "x".repeat(bytes)});
    for (api, bytes, names) in [
        (&larger, 3_000_000, "3000000 bytes"),
        (&usual, 1 << 20, "1024 KiB (1048576 bytes)"),
        (&smaller, 65_536, "64 KiB (65536 bytes)"),
    ] {
        let (status, code, message) = api.client.error("/v1/put", put(bytes)).await;
        assert_eq!((status, code.as_str()), (413, "BODY_TOO_LARGE"));
        assert!(message.contains(names), "{message}");
        let (status, answer) = api.client.post("/v1/put", put(bytes - 100)).await;
        assert_eq!(status, 200, "{answer}");
        let root = api.client.http.get(format!("{}/", api.client.url)).send().await.unwrap();
        assert_eq!(root.json::<Value>().await.unwrap()["max_body_bytes"], bytes);
    }
    let moved = json!({"agent_id": "ada", "from": "/large", "to": "/moved"});
    larger.client.ok("/v1/move", moved).await;
    assert!(larger.client.get("/moved").await["value"] == value);
    assert_eq!(larger.client.get("/large").await["found"], Value::Bool(false));
}
