//! Edits of one text by many at once.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::json;

use super::Mcp;
use crate::support::api::Api;

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_editors_at_once_lose_nothing() {
    const EDITORS: usize = 16;
    const EDITS: usize = 4;
    let (api, database) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    mcp.ok("memory_write", json!({"path": "/log", "text": "END", "tags": ["log"]})).await;
    // Half of them ask another replica.
    let replica = api.replica(&database, &[]).await;
    let other = Mcp::of(&replica, "ada");
    let editors = (0..EDITORS).map(|editor| {
        let mcp = if editor % 2 == 0 { mcp.clone() } else { other.clone() };
        async move {
            for edit in 0..EDITS {
                let new_text = format!("{editor}.{edit}\nEND");
                let edit = json!({"path": "/log", "old_text": "END", "new_text": new_text});
                mcp.ok("memory_edit", edit).await;
            }
        }
    });
    join_all(editors).await;
    let text = mcp.texts("memory_read", json!({"path": "/log"})).await.swap_remove(0);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines.last()), (EDITORS * EDITS + 1, Some(&"END")), "{text}");
    assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), EDITORS * EDITS + 1, "{text}");
    // Each is one version, and no more were written.
    let versions = database.number("SELECT count(*) FROM entry_versions").await;
    assert_eq!(versions, 1 + (EDITORS * EDITS) as i64);
}

#[tokio::test]
async fn an_edit_keeps_when_an_entry_expires() {
    let (api, _db) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    let write = json!({"path": "/x", "text": "a", "ttl_seconds": 600, "importance": 0.5, "searchable": false});
    mcp.ok("memory_write", write).await;
    let before = api.client.get("/x").await;
    mcp.ok("memory_edit", json!({"path": "/x", "old_text": "a", "new_text": "b"})).await;
    let after = api.client.get("/x").await;
    assert_eq!((&after["value"], &after["importance"]), (&json!("b"), &json!(0.5)));
    assert_eq!(after["searchable"], false);
    let moment = |of: &serde_json::Value| -> jiff::Timestamp {
        of["expires_at"].as_str().unwrap().parse().unwrap()
    };
    let shift = (moment(&after) - moment(&before)).total(jiff::Unit::Second).unwrap();
    assert!(shift.abs() <= 1.0, "{shift} s");
}
