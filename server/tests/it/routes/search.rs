//! Full text search: what is found, what no longer is, and the work of embedding that writes make.

use agentfs_server::maintenance::search_repair::Repaired;
use agentfs_server::maintenance::search_repair::repair_search;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::api::{Api, Client};
use crate::support::database::Database;

fn note(path: &str, value: impl Into<Value>) -> Value {
    json!({"agent_id": "ada", "path": path, "value": value.into(), "searchable": true})
}

async fn put(client: &Client, path: &str, value: &str) -> Value {
    client.ok("/v1/put", note(path, json!(value))).await
}

async fn search(client: &Client, query: &str) -> Value {
    client.ok("/v1/search", json!({"agent_id": "ada", "query": query})).await
}

fn paths(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().expect("results").iter();
    results.map(|result| result["path"].as_str().expect("a path")).collect()
}

#[tokio::test]
async fn a_put_is_found_at_once_and_nothing_that_has_gone_is() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    client.put("/never", json!("peanuts")).await;
    for round in 0..2 {
        let mut tagged = note("/lunch", json!("Ada is allergic to peanuts"));
        tagged["tags"] = json!(["food"]);
        let version = client.ok("/v1/put", tagged).await;
        let answer = search(client, "peanuts").await;
        assert_eq!(paths(&answer), ["/lunch"], "round {round}");
        let result = &answer["results"][0];
        assert_eq!(result["value"], "Ada is allergic to peanuts");
        assert_eq!(result["tags"], json!(["food"]));
        assert_eq!(result["version_id"], version["version_id"]);
        assert_eq!(result["created_at"], version["created_at"]);
        match round {
            0 => drop(client.delete("/lunch").await),
            _ => drop(client.put("/lunch", json!("peanuts, but not to be found")).await),
        }
        assert_eq!(paths(&search(client, "peanuts").await), [""; 0], "round {round}");
    }
    put(client, "/lunch", "peanuts again").await;
    put(client, "/lunch", "walnuts now").await;
    assert_eq!(paths(&search(client, "peanuts").await), [""; 0]);
    assert_eq!(paths(&search(client, "walnuts").await), ["/lunch"]);

    let mut short = note("/short", json!("walnuts until noon"));
    short["ttl_seconds"] = json!(1000);
    client.ok("/v1/put", short).await;
    assert_eq!(search(client, "walnuts").await["results"].as_array().unwrap().len(), 2);
    db.execute("UPDATE entries SET expires_at = now() WHERE path = '/short'").await;
    assert_eq!(paths(&search(client, "walnuts").await), ["/lunch"]);
}

/// A program that does not know of search moves the head alone.
#[tokio::test]
async fn what_another_release_has_overwritten_is_not_found() {
    let (api, db) = Api::start().await;
    put(&api.client, "/x", "peanuts").await;
    db.execute("UPDATE entries SET latest_version_id = gen_random_uuid(), version = version + 1")
        .await;
    assert_eq!(paths(&search(&api.client, "peanuts").await), [""; 0]);
}

#[tokio::test]
async fn most_of_the_words_are_enough_and_all_of_them_are_best() {
    let (api, _db) = Api::start().await;
    let client = &api.client;
    for (path, value) in [
        ("/bike", "The red bicycle stands in the cellar"),
        ("/car", "The red car stands in the garage. The car is red, red, red."),
        ("/wine", "The red wine is in the cellar"),
        ("/cat", "The cat sleeps"),
    ] {
        put(client, path, value).await;
    }
    let answer = search(client, "Where is my red bicycle standing?").await;
    assert_eq!(paths(&answer), ["/bike", "/car", "/wine"]);
    let similar: Vec<f64> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["similarity"].as_f64().unwrap())
        .collect();
    assert!(similar[0] > 0.9999 && similar.is_sorted_by(|a, b| a > b), "{similar:?}");
    assert!(similar.iter().all(|s| (0.0..=1.0).contains(s)));
    // The rarer word decides, however often the other is said.
    assert_eq!(paths(&search(client, "red bicycle").await)[0], "/bike");
    assert_eq!(paths(&search(client, "red cellar unicorn").await)[..2], ["/wine", "/bike"]);
    assert_eq!(paths(&search(client, "CELLARS!").await).len(), 2);
    assert_eq!(paths(&search(client, "unicorn").await), [""; 0]);
}

#[tokio::test]
async fn strings_keys_and_numbers_are_found_in_any_script() {
    let (api, _db) = Api::start().await;
    let client = &api.client;
    let exact =
        r#"{"Allergies":["peanuts",{"since":1987.50}],"na\u006de":"Grüße an J\u00fcrgen","x":1e2}"#;
    let body = format!(r#"{{"agent_id":"ada","path":"/n","searchable":true,"value":{exact}}}"#);
    assert_eq!(client.request("/v1/put", &body).send().await.unwrap().status(), 200);
    put(client, "/ja", "東京タワーに行きたい").await;
    put(client, "/ru", "Ёлка стоит в углу").await;
    for query in ["allergy", "PEANUT", "1987", "GRÜSSE JÜRGEN", "name"] {
        assert_eq!(paths(&search(client, query).await)[0], "/n", "{query}");
    }
    assert_eq!(paths(&search(client, "東京").await), ["/ja"]);
    assert_eq!(paths(&search(client, "ёлка").await), ["/ru"]);
    let asked =
        client.request("/v1/search", r#"{"agent_id":"ada","query":"peanuts"}"#).send().await;
    let text = asked.unwrap().text().await.unwrap();
    assert!(text.contains(&format!("\"value\":{exact},")), "byte for byte: {text}");
}

#[tokio::test]
async fn what_cannot_find_anything_says_why() {
    let (api, _db) = Api::start().await;
    let client = &api.client;
    put(client, "/x", "the end").await;
    for query in ["the", "and is or", "?!…", "'\"\\ & | ! <-> ( ) :*"] {
        let body = json!({"agent_id": "ada", "query": query, "mode": "text"});
        let answer = client.ok("/v1/search", body).await;
        assert_eq!(answer["results"], json!([]), "{query}");
        assert!(answer["note"].as_str().unwrap().contains("only stop words"), "{answer}");
    }
    let quoted = json!({"agent_id": "ada", "query": "end' | \\end & ('", "mode": "text"});
    let answer = client.ok("/v1/search", quoted).await;
    assert_eq!(paths(&answer), ["/x"]);
    assert!(answer.get("note").is_none(), "{answer}");
}

#[tokio::test]
async fn an_agent_without_searchable_entries_is_told_how_to_put_them() {
    let (api, _db) = Api::start().await;
    let client = &api.client;
    let note = async || search(client, "peanuts").await["note"].to_string();
    let unfindable = "none of this agent's entries is searchable";
    assert!(note().await.contains("nothing was put for this agent_id"), "there is no entry");
    client.put("/lunch", json!("peanuts")).await;
    let told = note().await;
    assert!(told.contains(unfindable) && told.contains("searchable\\\":true"), "{told}");
    put(client, "/dinner", "walnuts").await;
    assert!(!note().await.contains(unfindable), "one is searchable, and does not match");
    client.put("/dinner", json!("walnuts")).await;
    assert!(note().await.contains(unfindable), "its latest version is not searchable any more");
    client.delete("/dinner").await;
    client.delete("/lunch").await;
    assert!(!note().await.contains(unfindable), "no entry is left");
}

#[tokio::test]
async fn without_embeddings_words_are_searched_and_it_is_said() {
    let (api, _db) = Api::start().await;
    put(&api.client, "/x", "peanuts").await;
    let answer = search(&api.client, "peanuts").await;
    assert!(answer["note"].as_str().unwrap().contains("no embeddings"), "{answer}");
    for mode in ["semantic", "hybrid"] {
        let body = json!({"agent_id": "ada", "query": "peanuts", "mode": mode});
        let (status, code, message) = api.client.error("/v1/search", body).await;
        assert_eq!((status, code.as_str()), (503, "EMBEDDINGS_NOT_CONFIGURED"));
        assert!(message.contains("operator"), "{message}");
    }
}

#[tokio::test]
async fn filters_never_cost_results() {
    let (api, _db) = Api::start().await;
    let client = &api.client;
    let of_prefix = |n: usize| ["/acme", "/acme-corp", "/a%", "/a_", "/ab"][n % 5];
    let operations: Vec<Value> = (0..200)
        .map(|n| {
            let mut put = note(&format!("{}/{n}", of_prefix(n)), json!(format!("note {n}")));
            put["op"] = json!("put");
            put["tags"] = json!(["all", if n % 20 == 0 { "rare" } else { "other" }]);
            put
        })
        .collect();
    for operations in operations.chunks(100) {
        let body = json!({"operations": operations});
        let answer = client.ok("/v1/batch", body).await;
        assert!(answer["results"].as_array().unwrap().iter().all(|r| r["ok"] == true), "{answer}");
    }
    put(client, "/acme", "note at the prefix itself").await;
    let count = async |filters: Value| {
        let mut body = json!({"agent_id": "ada", "query": "note", "limit": 50});
        body.as_object_mut().unwrap().extend(filters.as_object().unwrap().clone());
        let answer = client.ok("/v1/search", body).await;
        answer["results"].as_array().unwrap().len()
    };
    for (filters, expected) in [
        (json!({}), 50),
        (json!({"limit": null, "path_prefix": null, "tags_any": null}), 10),
        (json!({"limit": 7}), 7),
        (json!({"path_prefix": "/"}), 50),
        (json!({"path_prefix": "/acme"}), 41),
        (json!({"path_prefix": "/acme/"}), 41),
        (json!({"path_prefix": "/acme/5"}), 1),
        (json!({"path_prefix": "/a%"}), 40),
        (json!({"path_prefix": "/a_"}), 40),
        (json!({"path_prefix": "/a"}), 0),
        (json!({"path_prefix": "/ac"}), 0),
        (json!({"tags_any": []}), 50),
        (json!({"tags_any": ["rare"]}), 10),
        (json!({"tags_any": ["rare", "nowhere"]}), 10),
        (json!({"tags_any": ["nowhere"]}), 0),
        (json!({"tags_any": ["rare"], "path_prefix": "/acme"}), 10),
        (json!({"tags_any": ["rare"], "path_prefix": "/ab"}), 0),
        (json!({"agent_id": "bob"}), 0),
    ] {
        assert_eq!(count(filters.clone()).await, expected, "{filters}");
    }
}

/// Another agent's many, one's own many, and a few below the prefix that is asked for.
const MANY: &str = r"
    WITH many AS (
        SELECT n, gen_random_uuid() AS id, CASE WHEN n % 2 = 0 THEN 'ada' ELSE 'bob' END AS agent,
               CASE WHEN n % 1000 = 0 THEN '/few/' ELSE '/many/' END || n AS path
          FROM generate_series(1, 40000) AS n
    ), versions AS (
        INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
        SELECT '00000000-0000-0000-0000-000000000000', id, agent, path, 1, to_json('word number' || n),
               CASE WHEN n % 500 = 0 THEN '{rare}' ELSE '{}' END::text[], 0, true, now()
          FROM many
    ), heads AS (
        INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
        SELECT '00000000-0000-0000-0000-000000000000', agent, path, id, 1, now() FROM many
    )
    INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document, form, form_version_id)
    SELECT '00000000-0000-0000-0000-000000000000', agent, path, id, to_tsvector('pg_catalog.english', 'word number' || n), 1, id
      FROM many";

#[tokio::test]
async fn among_many_documents_all_that_match_are_found() {
    let (api, db) = Api::start().await;
    db.execute(MANY).await;
    for analysed in [false, true] {
        if analysed {
            db.execute("ANALYZE").await;
        }
        for (filters, expected) in [
            (json!({"query": "word", "path_prefix": "/few"}), 40),
            (json!({"query": "word nothing number7 unheard", "path_prefix": "/few"}), 40),
            (json!({"query": "word", "tags_any": ["rare"]}), 50),
            (json!({"query": "word", "tags_any": ["rare"], "path_prefix": "/many"}), 40),
            (json!({"query": "word"}), 50),
            (json!({"query": "number20000"}), 1),
            (json!({"query": "number20001"}), 0),
        ] {
            let mut body = json!({"agent_id": "ada", "limit": 50});
            body.as_object_mut().unwrap().extend(filters.as_object().unwrap().clone());
            let answer = api.client.ok("/v1/search", body).await;
            assert_eq!(paths(&answer).len(), expected, "{filters}, analysed: {analysed}");
        }
        let rare = search(&api.client, "word number20000").await;
        assert_eq!(paths(&rare)[0], "/few/20000");
    }
}

#[tokio::test]
async fn batches_are_found_as_they_end() {
    let (api, _db) = Api::start().await;
    let client = &api.client;
    let op = |mut put: Value| {
        put["op"] = json!("put");
        put
    };
    let silent = json!({"op": "put", "agent_id": "ada", "path": "/b", "value": "peanuts"});
    let delete = json!({"op": "delete", "agent_id": "ada", "path": "/c"});
    for atomic in [false, true] {
        let operations = [
            op(note("/a", json!("walnuts"))),
            op(note("/a", json!("peanuts"))),
            op(note("/b", json!("peanuts"))),
            silent.clone(),
            op(note("/c", json!("peanuts"))),
            delete.clone(),
        ];
        client.ok("/v1/batch", json!({"operations": operations, "atomic": atomic})).await;
        assert_eq!(paths(&search(client, "peanuts").await), ["/a"], "atomic: {atomic}");
        assert_eq!(paths(&search(client, "walnuts").await), [""; 0], "atomic: {atomic}");
    }
    let mut refused = op(note("/a", json!("cashews")));
    refused["if_version"] = Value::Null;
    let operations = [op(note("/d", json!("cashews"))), refused];
    let body = json!({"operations": operations, "atomic": true});
    assert_eq!(client.error("/v1/batch", body).await.1, "VERSION_CONFLICT");
    assert_eq!(paths(&search(client, "cashews").await), [""; 0]);
    for _ in 0..2 {
        let (status, answer) =
            client.post_once("once", "/v1/put", note("/e", json!("cashews"))).await;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(paths(&search(client, "cashews").await), ["/e"]);
}

#[tokio::test]
async fn a_write_that_no_quota_grants_is_not_found() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[("WRITE_QUOTA_PER_DAY", "1")]).await;
    put(&api.client, "/a", "peanuts").await;
    let refused = api.client.error("/v1/put", note("/b", json!("peanuts"))).await;
    assert_eq!(refused.1, "QUOTA_WRITES_PER_DAY");
    assert_eq!(paths(&search(&api.client, "peanuts").await), ["/a"]);
    assert_eq!(database.number("SELECT count(*) FROM search_documents").await, 1);
}

#[tokio::test]
async fn answers_are_bounded_in_bytes() {
    let (api, _db) = Api::start().await;
    let large = format!("peanuts {}", "x".repeat(900_000));
    for n in 0..14 {
        put(&api.client, &format!("/{n}"), &large).await;
    }
    let body = json!({"agent_id": "ada", "query": "peanuts", "limit": 14, "mode": "text"});
    let answer = api.client.ok("/v1/search", body).await;
    let found = paths(&answer).len();
    assert!((9..=10).contains(&found), "{found}");
    let left_out = format!("{} more results are left out", 14 - found);
    assert!(answer["note"].as_str().unwrap().starts_with(&left_out), "{}", answer["note"]);
}

#[tokio::test]
async fn across_replicas_exactly_the_quota_of_searches_is_answered() {
    const LIMIT: (&str, &str) = ("SEARCH_QUOTA_PER_DAY", "50");
    let database = Database::migrated().await;
    let first = Api::start_with(&database, &[], &[LIMIT]).await;
    let replicas =
        [first.replica(&database, &[LIMIT]).await, first.replica(&database, &[LIMIT]).await, first];
    let ask = |n: usize| {
        let request =
            replicas[n % 3].client.request("/v1/search", r#"{"agent_id":"ada","query":"x"}"#);
        async move { request.send().await.unwrap() }
    };
    let answers = join_all((0..120).map(ask)).await;
    assert_eq!(answers.iter().filter(|a| a.status() == 200).count(), 50);
    assert_eq!(answers.iter().filter(|a| a.status() == 429).count(), 70);
    assert_eq!(database.number("SELECT searches FROM quota_usage").await, 50);
    let refused = ask(0).await;
    let wait: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&wait));
    assert!(refused.text().await.unwrap().contains("QUOTA_SEARCHES"));
    let mut denied = 0;
    for replica in &replicas {
        let metrics = replica.metrics().await;
        let series = "agentfs_quota_denials_total{type=\"searches\"} ";
        let count = metrics.lines().find_map(|line| line.strip_prefix(series)).expect("a number");
        denied += count.parse::<u32>().unwrap();
    }
    assert_eq!(denied, 71);
    // A reset by hand takes effect at once; what is wrong costs nothing, and writes are none of it.
    database.execute("UPDATE quota_usage SET searches = 49").await;
    let client = &replicas[0].client;
    client.error("/v1/search", json!({"agent_id": "ada", "query": ""})).await;
    put(client, "/x", "x").await;
    search(client, "x").await;
    let body = json!({"agent_id": "ada", "query": "x"});
    assert_eq!(client.error("/v1/search", body).await.1, "QUOTA_SEARCHES");
}

#[tokio::test]
async fn searches_are_counted_without_a_quota_too() {
    let (api, db) = Api::start().await;
    search(&api.client, "x").await;
    search(&api.client, "y").await;
    assert_eq!(db.number("SELECT searches FROM quota_usage").await, 2);
}

#[tokio::test]
async fn wrong_requests_say_what_is_wrong() {
    let (api, _db) = Api::start().await;
    for (field, value, code, sentence) in [
        ("agent_id", json!(""), "VALIDATION_ERROR", "empty"),
        ("agent_id", json!("x".repeat(129)), "VALIDATION_ERROR", "129 characters"),
        ("query", json!(""), "VALIDATION_ERROR", "1 to 2000"),
        ("query", json!("é".repeat(2001)), "VALIDATION_ERROR", "2001 characters"),
        ("query", json!(7), "VALIDATION_ERROR", "string"),
        ("limit", json!(0), "VALIDATION_ERROR", "between 1 and 50"),
        ("limit", json!(51), "VALIDATION_ERROR", "between 1 and 50"),
        ("path_prefix", json!("notes"), "INVALID_PATH", "start with '/'"),
        ("path_prefix", json!("/sys"), "RESERVED_PATH", "reserved"),
        ("tags_any", json!(vec!["t"; 21]), "VALIDATION_ERROR", "tags_any"),
        ("tags_any", json!(["x".repeat(65)]), "VALIDATION_ERROR", "tags_any"),
        ("mode", json!("magic"), "VALIDATION_ERROR", "semantic"),
    ] {
        let mut body = json!({"agent_id": "ada", "query": "x"});
        body[field] = value;
        let (_, got, message) = api.client.error("/v1/search", body).await;
        assert!(got == code && message.contains(sentence), "{field}: {got}: {message}");
    }
    let longest = json!({"agent_id": "x".repeat(128), "query": "é ".repeat(1000), "limit": 50});
    api.client.ok("/v1/search", longest).await;
}

#[tokio::test]
async fn it_takes_the_scope_of_searches() {
    let database = Database::migrated().await;
    let body = json!({"agent_id": "ada", "query": "x"});
    let reader = Api::start_with(&database, &["memory:read", "memory:write"], &[]).await;
    let (status, code, message) = reader.client.error("/v1/search", body.clone()).await;
    assert_eq!((status, code.as_str()), (403, "FORBIDDEN"));
    assert!(message.contains("search:read"), "{message}");
    let searcher = Api::start_with(&database, &["search:read"], &[]).await;
    searcher.client.ok("/v1/search", body).await;
}

#[tokio::test]
async fn searchable_writes_make_a_job_for_each_model_in_use() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    put(client, "/early", "peanuts").await;
    assert_eq!(db.number("SELECT count(*) FROM embedding_jobs").await, 0);
    db.execute(
        "INSERT INTO embedding_models (name, dimensions, state)
         VALUES ('one', 3, 'serving'), ('two', 3, 'filling'), ('old', 3, 'retired')",
    )
    .await;
    let jobs = "SELECT count(*) FROM embedding_jobs j JOIN entries e USING (tenant_id, agent_id, path)
                  JOIN embedding_models m ON m.id = j.model_id
                 WHERE j.status = 'queued' AND j.version_id = e.latest_version_id AND m.state <> 'retired'";
    let all = "SELECT count(*) FROM embedding_jobs";
    client.put("/silent", json!("peanuts")).await;
    client.delete("/early").await;
    assert_eq!(db.number(all).await, 0);
    put(client, "/plain", "peanuts").await;
    assert_eq!((db.number(jobs).await, db.number(all).await), (2, 2));
    let mut first = note("/first", json!("peanuts"));
    first["if_version"] = Value::Null;
    client.ok("/v1/put", first).await;
    assert_eq!((db.number(jobs).await, db.number(all).await), (4, 4));
    // Of several puts of a batch, the last alone is ever embedded.
    for (atomic, made) in [(false, 6), (true, 8)] {
        let operations: Vec<Value> = (0..3)
            .map(|n| {
                let mut put = note(&format!("/batch/{atomic}"), json!(n));
                put["op"] = json!("put");
                put
            })
            .collect();
        client.ok("/v1/batch", json!({"operations": operations, "atomic": atomic})).await;
        assert_eq!((db.number(jobs).await, db.number(all).await), (made, made));
    }
}

/// What a former release, or a restore of the four tables, leaves: heads without documents.
#[tokio::test]
async fn what_was_written_without_documents_is_found_after_a_walk() {
    let (api, db) = Api::start().await;
    let client = &api.client;
    for n in 0..20 {
        put(client, &format!("/kept/{n}"), "peanuts").await;
        put(client, &format!("/lost/{n}"), "peanuts").await;
    }
    client.put("/silent", json!("peanuts")).await;
    put(client, "/deleted", "peanuts").await;
    client.delete("/deleted").await;
    put(client, "/silenced", "peanuts").await;
    client.put("/silenced", json!("peanuts")).await;
    // Of an older version than the head is.
    put(client, "/old", "walnuts").await;
    db.execute("INSERT INTO embedding_models (name, dimensions, state) VALUES ('m', 3, 'serving')")
        .await;
    db.execute("DELETE FROM search_documents WHERE path LIKE '/lost/%'").await;
    db.execute("UPDATE search_documents SET version_id = gen_random_uuid() WHERE path = '/old'")
        .await;
    let all = async || {
        let body = json!({"agent_id": "ada", "query": "peanuts walnuts", "limit": 50});
        paths(&client.ok("/v1/search", body).await).len()
    };
    assert_eq!(all().await, 20);
    let pools = [db.address().pool(1), db.address().pool(1)];
    let righted = join_all(pools.iter().map(repair_search)).await;
    let righted: Vec<Repaired> = righted.into_iter().map(Result::unwrap).collect();
    // The server walks as well, at its start.
    let made: usize = righted.iter().map(|righted| righted.made).sum();
    assert!(made <= 21, "{righted:?}");
    for _ in 0..50 {
        repair_search(&pools[0]).await.unwrap();
        if all().await == 41 {
            break;
        }
    }
    assert_eq!(all().await, 41);
    assert_eq!(db.number("SELECT count(*) FROM search_documents").await, 41);
    assert_eq!(db.number("SELECT count(*) FROM embedding_jobs").await, 21, "one a document made");
    assert_eq!(repair_search(&pools[0]).await.unwrap(), Repaired::default());
}

#[tokio::test]
async fn any_agent_that_may_put_may_search() {
    let (api, _db) = Api::start().await;
    let longest = "é".repeat(128);
    let agents = [
        "ada@example.com",
        "agent:main:main",
        "org.example.bot",
        "auth0|5f7c",
        "user/42",
        " ",
        &longest,
    ];
    for agent in agents {
        let mut put = note("/lunch", json!(format!("peanuts of {agent}")));
        put["agent_id"] = json!(agent);
        put["tags"] = json!(["food"]);
        api.client.ok("/v1/put", put).await;
    }
    for agent in agents {
        for filters in [json!({}), json!({"tags_any": ["food"]}), json!({"path_prefix": "/lunch"})]
        {
            let mut body = json!({"agent_id": agent, "query": "peanuts"});
            body.as_object_mut().unwrap().extend(filters.as_object().unwrap().clone());
            let answer = api.client.ok("/v1/search", body).await;
            assert_eq!(paths(&answer), ["/lunch"], "{agent}");
            assert_eq!(answer["results"][0]["value"], format!("peanuts of {agent}"));
        }
    }
}

#[tokio::test]
async fn a_blank_query_finds_nothing_and_says_why() {
    let (api, db) = Api::start().await;
    put(&api.client, "/a", "peanuts").await;
    for query in [" ", " \t\n", "\u{3000}\u{a0}", "\u{200b}\u{feff}", "\u{1}"] {
        let answer = search(&api.client, query).await;
        assert_eq!(paths(&answer), [""; 0]);
        assert!(answer["note"].as_str().unwrap().contains("blank"), "{answer}");
    }
    assert_eq!(db.number("SELECT count(*) FROM quota_usage WHERE searches > 0").await, 0);
}
