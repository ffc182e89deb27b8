//! What the tools do, and what they say where something is wrong.

use serde_json::{Value, json};

use super::{Mcp, OLD};
use crate::support::api::Api;

/// Most bytes of all tools' descriptions. Whoever raises it makes every conversation dearer.
const MOST_OF_TOOLS: usize = 9_000;

#[tokio::test]
async fn an_entry_lives_through_all_tools() {
    let (api, _db) = Api::start().await;
    for (agent, version) in [("ada", super::NEW), ("bob", OLD)] {
        let mcp = Mcp { version, ..Mcp::of(&api, agent) };
        let lunch = json!({"path": "/notes/lunch", "text": "Allergic to peanuts\nLikes tea", "tags": ["food"]});
        let first = mcp.ok("memory_write", lunch).await;
        let read = mcp.texts("memory_read", json!({"path": "/notes/lunch"})).await;
        assert_eq!(read[0], "Allergic to peanuts\nLikes tea");
        let about: Value = serde_json::from_str(&read[1]).unwrap();
        assert_eq!((&about["type"], &about["tags"]), (&json!("text"), &json!(["food"])));
        assert_eq!(
            (&about["version_id"], &about["searchable"]),
            (&first["version_id"], &json!(true))
        );

        let edit = json!({"path": "/notes/lunch", "old_text": "tea", "new_text": "coffee"});
        assert_eq!(mcp.ok("memory_edit", edit).await["replaced"], 1);
        let read = mcp.texts("memory_read", json!({"path": "/notes/lunch"})).await;
        assert_eq!(read[0], "Allergic to peanuts\nLikes coffee");
        assert!(read[1].contains(r#""tags":["food"]"#), "they stay: {}", read[1]);
        let created_at = &first["created_at"];
        let past = json!({"path": "/notes/lunch", "as_of": created_at});
        assert!(mcp.texts("memory_read", past).await[0].ends_with("tea"));

        let listed = mcp.ok("memory_list", json!({})).await;
        assert_eq!(listed, json!({"items": [{"path": "/notes", "type": "dir"}]}));
        let listed = mcp.ok("memory_list", json!({"path": "/notes", "limit": 1})).await;
        assert_eq!(listed["items"], json!([{"path": "/notes/lunch", "type": "file"}]));

        let search = json!({"query": "peanut allergies", "tags_any": ["food"]});
        let found = mcp.ok("memory_search", search).await;
        assert_eq!(found["results"][0]["path"], "/notes/lunch", "{found}");
        assert_eq!(found["results"][0]["value"], "Allergic to peanuts\nLikes coffee");

        assert_eq!(mcp.ok("memory_delete", json!({"path": "/notes/lunch"})).await["deleted"], true);
        assert_eq!(
            mcp.ok("memory_delete", json!({"path": "/notes/lunch"})).await["deleted"],
            false
        );
        let gone = mcp.error("memory_read", json!({"path": "/notes/lunch"})).await;
        assert!(gone.starts_with("NOT_FOUND") && gone.contains("memory_history"), "{gone}");
        let history = mcp.ok("memory_history", json!({"path": "/notes/lunch"})).await;
        let versions = history["versions"].as_array().unwrap();
        assert_eq!(versions.len(), 3, "{history}");
        assert!(versions[0]["deleted_at"].is_string() && versions[0]["value"].is_null());
        assert_eq!(versions[2]["value"], "Allergic to peanuts\nLikes tea");
    }
    // The routes see the same memory.
    let listed = api.client.ok("/v1/agents", json!({})).await;
    assert_eq!(listed["agents"], json!([]));
}

#[tokio::test]
async fn subtrees_are_moved_and_versions_know_who_wrote_them() {
    let (api, _db) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    mcp.ok("memory_write", json!({"path": "/drafts/tea", "text": "green", "tags": ["list"]})).await;
    mcp.ok("memory_write", json!({"path": "/drafts/tea/note", "text": "hot"})).await;
    let move_it = json!({"from": "/drafts/tea", "to": "/lists/tea"});
    assert_eq!(mcp.ok("memory_move", move_it.clone()).await["moved"], 2);
    let read = mcp.texts("memory_read", json!({"path": "/lists/tea"})).await;
    assert!(read[0] == "green" && read[1].contains(r#""tags":["list"]"#), "{read:?}");
    assert_eq!(mcp.texts("memory_read", json!({"path": "/lists/tea/note"})).await[0], "hot");
    assert!(mcp.error("memory_move", move_it.clone()).await.starts_with("NOT_FOUND"));
    mcp.ok("memory_write", json!({"path": "/drafts/tea", "text": "black"})).await;
    let in_the_way = mcp.error("memory_move", move_it.clone()).await;
    assert!(in_the_way.starts_with("DESTINATION_EXISTS"), "{in_the_way}");
    let mut replace = move_it;
    replace["overwrite"] = json!(true);
    assert_eq!(mcp.ok("memory_move", replace).await["moved"], 1);
    let edit = json!({"path": "/lists/tea", "old_text": "black", "new_text": "red"});
    mcp.ok("memory_edit", edit).await;
    mcp.ok("memory_delete", json!({"path": "/lists/tea"})).await;
    let history = json!({"agent_id": "ada", "path": "/lists/tea"});
    let history = api.client.ok("/v1/history", history).await;
    let versions = history["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 4, "{history}");
    let (id, _) = api.client.key.split_once('.').unwrap();
    assert!(versions.iter().all(|version| version["author"]["key_id"] == id), "{history}");
}

#[tokio::test]
async fn other_values_than_texts_are_json_byte_for_byte() {
    let (api, _db) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    let json = r#"{"big":12345678901234567890123,"e":1.0e2}"#;
    mcp.ok("memory_write", json!({"path": "/n", "json": json})).await;
    let read = mcp.texts("memory_read", json!({"path": "/n"})).await;
    assert_eq!(read[0], json);
    assert!(read[1].contains(r#""type":"json""#), "{}", read[1]);
    let got = api.client.request("/v1/get", r#"{"agent_id":"ada","path":"/n"}"#).send().await;
    assert!(got.unwrap().text().await.unwrap().contains(json));
    let edit = json!({"path": "/n", "old_text": "1", "new_text": "2"});
    assert!(mcp.error("memory_edit", edit).await.contains("no text"));
    // A text that is written by a route is a text here.
    api.client.put("/t", json!("é \"x\"\n")).await;
    assert_eq!(mcp.texts("memory_read", json!({"path": "/t"})).await[0], "é \"x\"\n");
}

#[tokio::test]
async fn large_values_are_begun_among_others_and_read_whole() {
    let (api, _db) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    let large = "needle ".repeat(100_000);
    mcp.ok("memory_write", json!({"path": "/large", "text": large})).await;
    mcp.ok("memory_write", json!({"path": "/small", "text": "needle"})).await;
    for found in [
        mcp.ok("memory_search", json!({"query": "needle", "path_prefix": "/large"})).await["results"].take(),
        mcp.ok("memory_history", json!({"path": "/large"})).await["versions"].take(),
    ] {
        assert_eq!(found[0]["value_cut"], true, "{found}");
        let shown = found[0]["value"].as_str().unwrap();
        assert!(large.starts_with(shown) && shown.len() <= 4096);
    }
    let small = mcp.ok("memory_history", json!({"path": "/small"})).await;
    assert_eq!(small["versions"][0].get("value_cut"), None);
    assert_eq!(mcp.texts("memory_read", json!({"path": "/large"})).await[0], large);
}

#[tokio::test]
async fn errors_say_what_is_wrong_and_change_nothing() {
    let (api, _db) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    let first = mcp.ok("memory_write", json!({"path": "/a", "text": "x\ny x"})).await;
    for (tool, arguments, said) in [
        ("memory_write", json!({"path": "/a", "txt": "b"}), "did you mean `text`"),
        ("memory_write", json!({"path": "/a"}), "either text or json"),
        ("memory_write", json!({"path": "/a", "json": "{a}"}), "not valid JSON"),
        ("memory_write", json!({"path": "a", "text": "b"}), "INVALID_PATH"),
        ("memory_write", json!({"path": "/sys/a", "text": "b"}), "RESERVED_PATH"),
        (
            "memory_write",
            json!({"path": "/a", "text": "b", "create_only": true}),
            "VERSION_CONFLICT",
        ),
        (
            "memory_write",
            json!({"path": "/a", "text": "b", "agent_id": "bob"}),
            "leave agent_id out",
        ),
        ("memory_write", json!({"path": "/a", "text": "b", "tags": vec!["t"; 21]}), "at most 20"),
        (
            "memory_edit",
            json!({"path": "/a", "old_text": "x", "new_text": "z"}),
            "occurs 2 times, in the lines 1, 2",
        ),
        ("memory_edit", json!({"path": "/a", "old_text": "q", "new_text": "z"}), "does not occur"),
        ("memory_edit", json!({"path": "/b", "old_text": "q", "new_text": "z"}), "no entry at /b"),
        ("memory_read", json!({"path": "/a", "as_of": "yesterday"}), "RFC 3339"),
        ("memory_read", json!({}), "missing field `path`"),
        ("memory_list", json!({"limit": 1001}), "between 1 and 1000"),
        ("memory_search", json!({"query": ""}), "1 to 2000"),
        ("memory_history", json!({"path": "/a", "cursor": "nonsense"}), "cursor"),
    ] {
        let sentence = mcp.error(tool, arguments.clone()).await;
        assert!(sentence.contains(said), "{tool} {arguments}: {sentence}");
    }
    let stale = json!({"path": "/a", "if_version": "00000000-0000-7000-8000-000000000000"});
    assert!(mcp.error("memory_delete", stale).await.starts_with("VERSION_CONFLICT"));
    let history = mcp.ok("memory_history", json!({"path": "/a"})).await;
    assert_eq!(history["versions"].as_array().unwrap().len(), 1);
    let all = json!({"path": "/a", "old_text": "x", "new_text": "z", "replace_all": true});
    assert_eq!(mcp.ok("memory_edit", all).await["replaced"], 2);
    let once = json!({"path": "/a", "text": "b", "if_version": first["version_id"]});
    assert!(mcp.error("memory_write", once).await.starts_with("VERSION_CONFLICT"));
    // Models send null for what they leave out.
    let nulls = json!({"path": "/c", "text": "c", "tags": null, "json": null, "if_version": null, "create_only": null});
    mcp.ok("memory_write", nulls).await;
}

#[tokio::test]
async fn a_list_goes_deeper_says_more_and_reads_the_past() {
    let (api, _db) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    let tea = json!({"path": "/lists/tea", "text": "green", "tags": ["list"], "importance": 0.5});
    let tea = mcp.ok("memory_write", tea).await;
    let note =
        json!({"path": "/lists/tea/note", "json": "[1]", "searchable": false, "ttl_seconds": 60});
    mcp.ok("memory_write", note).await;
    let deep = json!({"depth": 3, "details": true});
    let listed = mcp.ok("memory_list", deep).await;
    let kinds: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            format!("{} {}", item["type"].as_str().unwrap(), item["path"].as_str().unwrap())
        })
        .collect();
    assert_eq!(kinds, ["dir /lists", "file /lists/tea", "dir /lists/tea", "file /lists/tea/note"]);
    assert_eq!(listed["items"][0], json!({"path": "/lists", "type": "dir"}));
    let about = json!({
        "path": "/lists/tea", "type": "file", "size": 7, "version_id": tea["version_id"],
        "created_at": tea["created_at"], "updated_at": tea["created_at"], "tags": ["list"], "importance": 0.5,
        "searchable": true,
    });
    assert_eq!(listed["items"][1], about);
    let note = &listed["items"][3];
    assert!(
        note["size"] == 3 && note["expires_at"].is_string() && note["searchable"] == false,
        "{note}"
    );

    mcp.ok("memory_delete", json!({"path": "/lists", "recursive": true})).await;
    assert_eq!(mcp.ok("memory_list", json!({})).await["items"], json!([]));
    let then = json!({"path": "/lists", "as_of": tea["created_at"], "details": true});
    assert_eq!(mcp.ok("memory_list", then).await["items"], json!([about]));
    let sentence = mcp.error("memory_list", json!({"depth": 2, "as_of": tea["created_at"]})).await;
    assert!(sentence.starts_with("VALIDATION_ERROR") && sentence.contains("depth"), "{sentence}");
}

#[tokio::test]
async fn a_subtree_is_deleted_where_that_is_asked_for() {
    let (api, _db) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    for path in ["/a", "/a/b", "/a/b/c", "/ab"] {
        mcp.ok("memory_write", json!({"path": path, "text": path})).await;
    }
    let one = mcp.ok("memory_delete", json!({"path": "/a"})).await;
    assert_eq!((&one["deleted"], &one["deleted_entries"]), (&json!(true), &json!(1)));
    let again = mcp.ok("memory_delete", json!({"path": "/a"})).await;
    assert_eq!(&again["deleted"], &json!(false));
    assert!(again["note"].as_str().unwrap().contains("\"recursive\":true"), "{again}");
    let below = mcp.ok("memory_delete", json!({"path": "/a", "recursive": true})).await;
    assert_eq!((&below["deleted"], &below["deleted_entries"]), (&json!(true), &json!(2)));
    let none = mcp.ok("memory_delete", json!({"path": "/a", "recursive": true})).await;
    assert_eq!(none, json!({"deleted": false, "deleted_entries": 0}));
    assert_eq!(mcp.texts("memory_read", json!({"path": "/ab"})).await[0], "/ab");
    let id = "00000000-0000-7000-8000-000000000000";
    let both = json!({"path": "/ab", "recursive": true, "if_version": id});
    assert!(mcp.error("memory_delete", both).await.contains("if_version"));
}

#[tokio::test]
async fn a_search_is_of_some_values_and_in_a_mode() {
    let (api, _db) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    for (number, status) in [(1, "open"), (2, "open"), (3, "done")] {
        let task = json!({"text": "call the plumber", "status": status, "due": {"day": number}});
        let task = json!({"path": format!("/tasks/{number}"), "json": task.to_string()});
        mcp.ok("memory_write", task).await;
    }
    let filter = json!({"status": "open", "due.day": {"$gte": 2}});
    // As a text, which is how it is described, and as an object, which some models send.
    for filter in [json!(filter.to_string()), filter] {
        let search = json!({"query": "plumber", "filter": filter, "mode": "text"});
        let found = mcp.ok("memory_search", search).await;
        let paths: Vec<_> =
            found["results"].as_array().unwrap().iter().map(|hit| &hit["path"]).collect();
        assert_eq!(paths, ["/tasks/2"], "{found}");
    }
    let written = json!({"path": "/tasks/2", "json": "{\"text\": \"paint\"}"});
    mcp.ok("memory_write", written).await;
    let then = mcp.ok("memory_history", json!({"path": "/tasks/2"})).await;
    let then = &then["versions"][1]["created_at"];
    for (as_of, path) in [(&Value::Null, "/tasks/1"), (then, "/tasks/2")] {
        let search = json!({"query": "plumber", "limit": 1, "path_prefix": path, "mode": "text", "as_of": as_of});
        assert_eq!(mcp.ok("memory_search", search).await["results"][0]["path"], path);
    }
    let gone = json!({"query": "plumber", "path_prefix": "/tasks/2", "mode": "text"});
    assert_eq!(mcp.ok("memory_search", gone).await["results"], json!([]));
    for (arguments, said) in [
        (json!({"query": "x", "filter": "{open}"}), "filter is not valid JSON"),
        (json!({"query": "x", "filter": "[1]"}), "filter must be an object"),
        (json!({"query": "x", "filter": {"a": {"$in": [1]}}}), "unknown operator"),
        (json!({"query": "x", "mode": "exact"}), "expected one of `semantic`, `text`, `hybrid`"),
        (json!({"query": "x", "mode": "semantic"}), "EMBEDDINGS_NOT_CONFIGURED"),
    ] {
        let sentence = mcp.error("memory_search", arguments.clone()).await;
        assert!(sentence.contains(said), "{arguments}: {sentence}");
    }
}

#[tokio::test]
async fn a_version_says_who_wrote_it_and_how_large_it_is() {
    let (api, database) = Api::start().await;
    let mcp = Mcp::of(&api, "ada");
    mcp.ok("memory_write", json!({"path": "/a", "text": "one"})).await;
    mcp.ok("memory_delete", json!({"path": "/a"})).await;
    let history = mcp.ok("memory_history", json!({"path": "/a"})).await;
    let (id, _) = api.client.key.split_once('.').unwrap();
    for version in history["versions"].as_array().unwrap() {
        assert_eq!(version["author"]["key_id"], id, "{history}");
        assert!(version["author"]["label"].is_string(), "{history}");
    }
    assert_eq!(
        (&history["versions"][0]["size"], &history["versions"][1]["size"]),
        (&Value::Null, &json!(5))
    );
    database.execute("UPDATE entry_versions SET author = NULL").await;
    let history = mcp.ok("memory_history", json!({"path": "/a"})).await;
    assert!(history["versions"][0].get("author").is_none(), "{history}");
    let read = mcp.texts("memory_history", json!({"path": "/a", "limit": 1})).await;
    assert!(read[0].contains("next_cursor"), "{read:?}");
}

/// What each conversation pays for the tools before it begins: about a token for four bytes.
#[tokio::test]
async fn the_descriptions_stay_short() {
    let (api, _db) = Api::start().await;
    let listed = Mcp::of(&api, "ada").result("tools/list", json!({})).await;
    let tools = listed["tools"].as_array().unwrap();
    for tool in tools {
        println!("{:6} bytes {}", tool.to_string().len(), tool["name"]);
    }
    let bytes: usize = tools.iter().map(|tool| tool.to_string().len()).sum();
    assert!((4_000..=MOST_OF_TOOLS).contains(&bytes), "tools/list has {bytes} bytes");
}

#[tokio::test]
async fn without_an_agent_in_the_url_each_tool_is_told() {
    let (api, _db) = Api::start().await;
    let mcp = Mcp { route: "/mcp".to_owned(), ..Mcp::of(&api, "") };
    let listed = mcp.result("tools/list", json!({})).await;
    for tool in listed["tools"].as_array().unwrap() {
        let required = tool["inputSchema"]["required"].as_array().unwrap();
        assert!(required.contains(&json!("agent_id")), "{tool}");
    }
    let sentence = mcp.error("memory_list", json!({})).await;
    assert!(sentence.contains("agent_id is missing"), "{sentence}");
    assert!(sentence.contains("the URL /mcp/{agent_id}"), "{sentence}");
    mcp.ok("memory_write", json!({"agent_id": "a/é", "path": "/x", "text": "1"})).await;
    let one = Mcp::of(&api, "a%2F%C3%A9");
    assert_eq!(one.texts("memory_read", json!({"path": "/x"})).await[0], "1");
    let named = json!({"path": "/x", "agent_id": "a/é"});
    assert_eq!(one.texts("memory_read", named).await[0], "1");
}
