//! Entries as resources, and the prompt that recalls them.

use serde_json::json;

use super::{Mcp, OLD};
use crate::support::api::{Api, new_key};

#[tokio::test]
async fn entries_are_listed_page_by_page_and_read() {
    let (api, database) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    for number in 0..101 {
        api.client.put(&format!("/many/{number:03}"), json!(number)).await;
    }
    api.client.put("/a b/é", json!("text")).await;
    let first = mcp.result("resources/list", json!({})).await;
    let resources = first["resources"].as_array().unwrap();
    assert_eq!(resources[0], json!({"uri": "agentfs://ada/a%20b/%C3%A9", "name": "/a b/é"}));
    assert_eq!(resources.len(), 100);
    let rest = mcp.result("resources/list", json!({"cursor": first["nextCursor"]})).await;
    assert_eq!((rest["resources"].as_array().unwrap().len(), rest.get("nextCursor")), (2, None));

    let read = mcp.result("resources/read", json!({"uri": resources[0]["uri"]})).await;
    let text =
        json!([{"uri": "agentfs://ada/a%20b/%C3%A9", "mimeType": "text/plain", "text": "text"}]);
    assert_eq!(read["contents"], text);
    let read = mcp.result("resources/read", json!({"uri": "agentfs://ada/many/007"})).await;
    assert_eq!(
        (&read["contents"][0]["mimeType"], &read["contents"][0]["text"]),
        (&json!("application/json"), &json!("7"))
    );

    let template = |of: &serde_json::Value| of["resourceTemplates"][0]["uriTemplate"].clone();
    let one = mcp.result("resources/templates/list", json!({})).await;
    assert_eq!(template(&one), "agentfs://ada/{+path}");
    let any = Mcp { route: "/mcp".to_owned(), ..mcp.clone() };
    let all = any.result("resources/templates/list", json!({})).await;
    assert_eq!(template(&all), "agentfs://{agent_id}/{+path}");
    assert_eq!(any.result("resources/list", json!({})).await["resources"], json!([]));
    any.result("resources/read", json!({"uri": "agentfs://ada/many/007"})).await;

    let missing = json!({"uri": "agentfs://ada/none"});
    let (_, refused) = mcp.answer("resources/read", missing.clone()).await;
    assert_eq!(refused["error"]["code"], -32602);
    assert_eq!(refused["error"]["data"], missing, "{refused}");
    let older = Mcp { version: OLD, ..mcp.clone() };
    assert_eq!(older.answer("resources/read", missing).await.1["error"]["code"], -32002);
    let others = json!({"uri": "agentfs://bob/x"});
    assert_eq!(mcp.answer("resources/read", others).await.1["error"]["code"], -32602);
    let writer = mcp.with_key(&new_key(&database, &["memory:write"]).await);
    assert_eq!(writer.result("resources/list", json!({})).await["resources"], json!([]));
    let uri = json!({"uri": "agentfs://ada/many/007"});
    let (_, refused) = writer.answer("resources/read", uri).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("memory:read"), "{refused}");
}

#[tokio::test]
async fn the_prompt_recalls_what_memory_has_on_a_topic() {
    let (api, _db) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    mcp.ok("memory_write", json!({"path": "/notes/lunch", "text": "Allergic to peanuts"})).await;
    let listed = mcp.result("prompts/list", json!({})).await;
    assert_eq!(listed["prompts"][0]["name"], "recall-context");
    assert_eq!(listed["prompts"][0]["arguments"].as_array().unwrap().len(), 1);
    let recall = json!({"name": "recall-context", "arguments": {"topic": "peanuts"}});
    let got = mcp.result("prompts/get", recall.clone()).await;
    let message = &got["messages"][0];
    assert_eq!((&message["role"], &message["content"]["type"]), (&json!("user"), &json!("text")));
    let text = message["content"]["text"].as_str().unwrap();
    assert!(text.contains("/notes/lunch") && text.contains("Allergic to peanuts"), "{text}");
    let any = Mcp { route: "/mcp".to_owned(), ..mcp.clone() };
    let (_, refused) = any.answer("prompts/get", recall).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("agent_id"), "{refused}");
    let (_, unknown) = mcp.answer("prompts/get", json!({"name": "other"})).await;
    assert_eq!(unknown["error"]["code"], -32602);
}
