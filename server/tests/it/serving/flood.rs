//! Ten thousand strangers at once, in a process of their own: as many as there may be connections.

use std::time::{Duration, Instant};

use agentfs_server::listen::allow_open_files;
use nix::sys::resource::{Resource, getrlimit};
use serde_json::json;
use tokio::time::timeout;

use crate::support::api::{Client, new_key};
use crate::support::database::Database;
use crate::support::process::Process;
use crate::support::strangers::Kind;

const STRANGERS: u32 = 10_000;
/// What the tests need besides.
const FILES: u32 = 1_000;
/// Whoever waits longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it took until a request on a new connection succeeded.
async fn timed(what: &str, request: reqwest::RequestBuilder) -> Duration {
    let began = Instant::now();
    let succeeded = async {
        // A processor that cannot keep up with the flood may cut a request before it is read; clients try again.
        while !request.try_clone().unwrap().send().await.is_ok_and(|got| got.status() == 200) {}
    };
    timeout(PATIENCE, succeeded).await.unwrap_or_else(|_| panic!("{what} hangs"));
    began.elapsed()
}

/// How long /livez and a put take.
async fn ask(client: &Client) -> [Duration; 2] {
    let put = json!({"agent_id": "ada", "path": "/x", "value": 1}).to_string();
    let livez = timed("/livez", client.http.get(format!("{}/livez", client.url))).await;
    [livez, timed("a put", client.request("/v1/put", &put)).await]
}

async fn open_connections(client: &Client) -> String {
    let asked = client.http.get(format!("{}/metrics", client.url)).send().await;
    let text = asked.unwrap().text().await.unwrap();
    let open = text.lines().find_map(|line| line.strip_prefix("agentfs_http_connections "));
    open.unwrap_or_default().to_owned()
}

/// `proxies`: TRUST_PROXY, which names the strangers' address where they are to have all connections.
async fn flood(proxies: &str) {
    let hard = getrlimit(Resource::RLIMIT_NOFILE).unwrap().1;
    if hard < u64::from(STRANGERS + FILES) {
        eprintln!("skipped: a process may open {hard} files, too few for {STRANGERS} connections");
        return;
    }
    allow_open_files(STRANGERS);
    let database = Database::migrated().await;
    let most = STRANGERS.to_string();
    let mut settings = vec![
        ("DATABASE_URL", database.url.as_str()),
        ("MAX_CONNECTIONS", &most),
        ("PREAUTH_RATE_LIMIT_PER_MINUTE", "600"),
        ("ADMIN_BOOTSTRAP_TOKEN", "first light over the harbour, no wind"),
    ];
    settings.extend((!proxies.is_empty()).then_some(("TRUST_PROXY", proxies)));
    let server = Process::start(&settings);
    server.wait_until_ready().await;
    let client = Client::new(server.url(), new_key(&database, &[]).await).unpooled();
    ask(&client).await;
    for kind in Kind::ALL {
        let strangers = async {
            let began = Instant::now();
            (kind.many(STRANGERS as usize, &client.url).await, began.elapsed())
        };
        let mut strangers = std::pin::pin!(strangers);
        let mut slowest = [Duration::ZERO; 2];
        let (strangers, took) = loop {
            tokio::select! {
                strangers = &mut strangers => break strangers,
                asked = ask(&client) => {
                    slowest = [slowest[0].max(asked[0]), slowest[1].max(asked[1])];
                }
            }
        };
        let [livez, put] = ask(&client).await;
        eprintln!(
            "{kind:?}: {} strangers within {took:.1?}, meanwhile at most /livez {:.1?}, put {:.1?}; then {} connections open, /livez {livez:.1?}, put {put:.1?}",
            strangers.len(),
            slowest[0],
            slowest[1],
            open_connections(&client).await,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes some 20,000 open files, and all processors for a while; make test-all runs it"]
async fn ten_thousand_strangers_of_one_address() {
    Box::pin(flood("")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes some 20,000 open files, and all processors for a while; make test-all runs it"]
async fn ten_thousand_strangers_who_fill_all_connections() {
    Box::pin(flood("127.0.0.2")).await;
}
