//! A program from before schema 17 knows no chunks of long values, and one from before 18 no sizes. It goes on beside this one: the server
//! of either puts and searches what the worker of either embeds.

use std::path::{Path, PathBuf};

use futures::future::join_all;
use serde_json::json;

use super::{begun_by, program};
use crate::support::api::{Api, Client};
use crate::support::database::Database;
use crate::support::process::{Process, free_port};
use crate::support::provider::Provider;
use crate::support::semantic::{chunks_of, long, put, until_semantic};
use crate::support::worker::{OPEN, Worker, until, variables};

/// Both programs on one database, which the old one has made.
struct Beside {
    program: PathBuf,
    database: Database,
    provider: Provider,
    old: Client,
    new: Client,
    _servers: (Process, Api),
}

impl Beside {
    /// Has the old program's server and worker at work while the database goes ahead. Also that worker.
    async fn start() -> (Self, Process) {
        let program = program("AGENTFS_WITHOUT_CHUNKS");
        let (database, key) = begun_by(&program).await;
        let provider = Provider::start().await;
        let old_server = start(&program, "serve", &database, &provider);
        old_server.wait_until_ready().await;
        let old = Client::new(old_server.url(), key);
        let old_worker = start(&program, "worker", &database, &provider);
        put(&old, "/before", &text()).await;
        embed_all(&database).await;
        until_semantic(&old, "peanuts").await;
        database.migrate().await;
        let api = Api::start_with(&database, &[], &variables(&provider, &[])).await;
        let new = api.client.clone();
        (Self { program, database, provider, old, new, _servers: (old_server, api) }, old_worker)
    }

    fn old_worker(&self) -> Process {
        start(&self.program, "worker", &self.database, &self.provider)
    }

    fn new_worker(&self) -> Worker {
        Worker::start(&self.database, &self.provider, &[])
    }

    fn clients(&self) -> [&Client; 2] {
        [&self.old, &self.new]
    }
}

fn start(program: &Path, command: &str, database: &Database, provider: &Provider) -> Process {
    let settings = variables(provider, &[("DATABASE_URL", database.url.as_str())]);
    Process::start_program(program, command, free_port(), &settings)
}

async fn stop(mut worker: Process) {
    worker.terminate();
    worker.ended().await;
}

/// Waits until the workers have nothing left to do.
async fn embed_all(database: &Database) {
    until(database, "SELECT count(*) FROM embedding_models WHERE state = 'serving'", 1).await;
    until(database, OPEN, 0).await;
}

fn text() -> String {
    long("peanuts ", "! ! ! z ")
}

fn other() -> String {
    long("walnuts ", "z ! ! ! ")
}

/// Whether the value at `path` is found by the beginning and by the end of `text`.
async fn found(client: &Client, path: &str, text: &str) -> (bool, bool) {
    let by = async |part: &str| {
        let body =
            json!({"agent_id": "ada", "query": part, "mode": "semantic", "path_prefix": path});
        let answer = client.ok("/v1/search", body).await;
        answer["results"][0]["similarity"].as_f64().unwrap_or_default() > 0.95
    };
    let parts = chunks_of(text);
    (by(parts[0]).await, by(parts[parts.len() - 1]).await)
}

/// Found by its beginning and by its end.
const WHOLE: (bool, bool) = (true, true);
/// Found by its beginning alone.
const BEGINNING: (bool, bool) = (true, false);

const CHUNKS: &str = "SELECT count(*) FROM embedding_chunks";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an earlier program, which tests/compatibility/run builds"]
async fn either_server_finds_what_either_worker_embeds() {
    let (beside, old_worker) = Beside::start().await;
    let (database, [old, new]) = (&beside.database, beside.clients());
    let (text, other) = (text(), other());
    let paths = ["/before", "/by-old", "/by-new"];
    put(old, "/by-old", &text).await;
    put(new, "/by-new", &text).await;
    embed_all(database).await;
    for path in paths {
        assert_eq!(found(old, path, &text).await, BEGINNING, "{path}");
        assert_eq!(found(new, path, &text).await, BEGINNING, "{path}");
    }
    stop(old_worker).await;

    // This worker makes the chunks that are missing, and those of what the old server puts.
    let worker = beside.new_worker();
    until(database, CHUNKS, 12).await;
    put(old, "/by-old", &other).await;
    embed_all(database).await;
    for (path, text) in paths.into_iter().zip([&text, &other, &text]) {
        assert_eq!(found(old, path, text).await, BEGINNING, "{path}");
        assert_eq!(found(new, path, text).await, WHOLE, "{path}");
    }
    assert!(!found(new, "/by-old", &text).await.1, "the earlier chunks are replaced");
    worker.stop().await;

    // The old worker embeds what this server puts, and leaves the chunks that there are.
    let old_worker = beside.old_worker();
    put(new, "/by-old", &text).await;
    put(old, "/by-new", &other).await;
    put(new, "/short", "a short note").await;
    embed_all(database).await;
    for client in beside.clients() {
        assert_eq!(found(client, "/by-old", &text).await, BEGINNING);
        assert_eq!(found(client, "/by-new", &other).await, BEGINNING);
        assert!(
            !found(client, "/by-old", &other).await.1,
            "a chunk of an earlier version does not count"
        );
        assert!(
            !found(client, "/by-new", &text).await.1,
            "a chunk of an earlier version does not count"
        );
        assert_eq!(found(client, "/short", "a short note").await, WHOLE);
    }
    new.delete("/before").await;
    old.delete("/by-new").await;
    for client in beside.clients() {
        assert_eq!(found(client, "/before", &text).await, (false, false));
        assert_eq!(found(client, "/by-new", &other).await, (false, false));
    }
    stop(old_worker).await;
}

/// Long values whose vector a program without chunks has made.
const WITHOUT_CHUNKS: &str = "
    SELECT count(*) FROM embeddings m JOIN entries e USING (tenant_id, agent_id, path)
     WHERE m.version_id = e.latest_version_id AND m.chunked_version_id IS DISTINCT FROM m.version_id";
const WITHOUT_SIZE: &str =
    "SELECT count(*) FROM entry_versions WHERE path LIKE '/both/%' AND bytes IS NULL";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an earlier program, which tests/compatibility/run builds"]
async fn both_programs_write_and_embed_the_same_entries_at_once() {
    let (beside, old_worker) = Beside::start().await;
    let (database, [old, new]) = (&beside.database, beside.clients());
    let (text, other) = (&text(), &other());
    let worker = beside.new_worker();
    let paths: Vec<String> = (0..12).map(|n| format!("/both/{n}")).collect();
    let puts = paths.iter().enumerate().map(|(n, path)| async move {
        put([old, new][n % 2], path, other).await;
        put([new, old][n % 2], path, text).await;
    });
    join_all(puts).await;
    embed_all(database).await;
    for path in &paths {
        assert!(found(old, path, text).await.0 && found(new, path, text).await.0, "{path}");
    }
    stop(old_worker).await;
    worker.stop().await;

    // What is left without chunks gets them.
    let worker = beside.new_worker();
    until(database, WITHOUT_CHUNKS, 0).await;
    worker.stop().await;
    for path in &paths {
        assert_eq!(found(old, path, text).await, BEGINNING, "{path}");
        assert_eq!(found(new, path, text).await, WHOLE, "{path}");
    }

    // Sizes and first dates are told of all, whoever has written them.
    assert_eq!(database.number(WITHOUT_SIZE).await, 12, "the old program stores none");
    let details = json!({"agent_id": "ada", "prefix": "/both", "details": true});
    let listed = new.ok("/v1/list", details).await;
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), paths.len());
    for item in items {
        let history = new.ok("/v1/history", json!({"agent_id": "ada", "path": item["path"]})).await;
        let [last, first] = history["versions"].as_array().unwrap().as_slice() else {
            panic!("two versions: {history}")
        };
        assert_eq!(item["size"], text.len() + 2, "{item}");
        assert_eq!(first["size"], other.len() + 2, "{history}");
        assert_eq!(item["created_at"], first["created_at"], "{item}");
        assert_eq!(item["updated_at"], last["created_at"], "{item}");
    }
}
