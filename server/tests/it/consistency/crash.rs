//! kill -9 under writes: what was acknowledged is there.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::api::{Api, Client, new_key};
use crate::support::database::{Database, Gate, Postgres};
use crate::support::eventually::eventually;
use crate::support::process::Process;
use crate::support::stored::UNBOOKED_BYTES;

/// Agents that put and delete on hot and own paths until they are told to stop.
struct Writers {
    stop: Arc<AtomicBool>,
    /// How many of their writes were acknowledged.
    acknowledged: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Vec<Uuid>>>,
}

impl Writers {
    fn start(client: &Client) -> Self {
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let write =
            |writer| write_until(client.clone(), writer, stop.clone(), acknowledged.clone());
        let tasks = (0..32).map(|writer| tokio::spawn(write(writer))).collect();
        Self { stop, acknowledged, tasks }
    }

    /// Waits until so many more writes were acknowledged.
    async fn until_more(&self, writes: usize) {
        let count = async || self.acknowledged.load(Ordering::Relaxed);
        let enough = count().await + writes;
        eventually("writes are acknowledged", count, |count| *count >= enough).await;
    }

    /// Ends them; the version ids that were acknowledged.
    async fn stop(self) -> Vec<Uuid> {
        self.stop.store(true, Ordering::Relaxed);
        join_all(self.tasks).await.into_iter().flat_map(Result::unwrap).collect()
    }
}

async fn write_until(
    client: Client,
    writer: usize,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
) -> Vec<Uuid> {
    let mut acknowledged = Vec::new();
    let mut n = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let path = if n.is_multiple_of(2) {
            "/hot".to_owned()
        } else {
            format!("/own/{writer}/{}", n % 10)
        };
        let (route, body) = if n.is_multiple_of(7) {
            ("/v1/delete", json!({"agent_id": "ada", "path": path}))
        } else {
            ("/v1/put", json!({"agent_id": "ada", "path": path, "value": [writer, n]}))
        };
        match client.try_post(route, body).await {
            Ok((status, answer)) if status == 200 => {
                let id = answer["version_id"].as_str().map(|id| id.parse::<Uuid>().unwrap());
                count.fetch_add(usize::from(id.is_some()), Ordering::Relaxed);
                acknowledged.extend(id);
            }
            // No answer or a 503: nothing was promised.
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    acknowledged
}

async fn assert_all_there(database: &Database, acknowledged: &[Uuid]) {
    let stored: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM entry_versions")
        .fetch_all(&mut database.connect().await)
        .await
        .unwrap();
    let stored: HashSet<Uuid> = stored.into_iter().collect();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !stored.contains(id)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged writes are lost",
        lost.len(),
        acknowledged.len()
    );
    let gaps =
        "SELECT count(*) FROM (SELECT count(*) AS n, max(version) AS last FROM entry_versions
                 GROUP BY tenant_id, agent_id, path) t WHERE n <> last";
    assert_eq!(database.number(gaps).await, 0, "versions are numbered without gap");
    let heads =
        "SELECT count(*) FROM entries e LEFT JOIN entry_versions v ON v.id = e.latest_version_id
                  WHERE v.version IS DISTINCT FROM e.version";
    assert_eq!(database.number(heads).await, 0, "every head is its last version");
    let counted = "SELECT (SELECT sum(writes) FROM quota_usage)::bigint - (SELECT count(*) FROM entry_versions)";
    assert_eq!(database.number(counted).await, 0, "the quota has counted what was written");
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0, "and how much that is");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_server() {
    let database = Database::migrated().await;
    let mut server = Process::start(&[("DATABASE_URL", &database.url)]);
    let client = Client::new(server.url(), new_key(&database, &[]).await);
    server.wait_until_ready().await;
    let writers = Writers::start(&client);
    for _ in 0..3 {
        writers.until_more(200).await;
        server.kill();
        server.restart().await;
    }
    writers.until_more(100).await;
    assert_all_there(&database, &writers.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_postgresql() {
    let postgres = Postgres::start(&["--restart"]);
    let database = postgres.database().await;
    database.migrate().await;
    let server = Process::start(&[("DATABASE_URL", &database.url)]);
    let client = Client::new(server.url(), new_key(&database, &[]).await);
    server.wait_until_ready().await;
    let writers = Writers::start(&client);
    writers.until_more(300).await;
    kill(Pid::from_raw(postgres.pid()), Signal::SIGKILL).unwrap();
    // What its sessions still had acknowledged is over by then.
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.wait_until_ready().await;
    // A session that is ended in the middle of a batch: COMMIT may be lost, the answer must be right.
    for _ in 0..10 {
        writers.until_more(20).await;
        database
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'agentfs-server' AND query LIKE '%INSERT INTO entry_versions%'")
            .await;
    }
    let acknowledged = writers.stop().await;
    server.wait_until_ready().await;
    assert_all_there(&database, &acknowledged).await;
}

/// As a connection pool that is replaced closes the connections that it has.
#[tokio::test(flavor = "multi_thread")]
async fn of_idle_connections_no_request_knows() {
    let database = Database::migrated().await;
    let server = Process::start(&[("DATABASE_URL", &database.url)]);
    let client = Client::new(server.url(), new_key(&database, &[]).await);
    server.wait_until_ready().await;
    for round in 0..3 {
        let put = json!({"agent_id": "ada", "path": "/round", "value": round});
        client.ok("/v1/put", put).await;
        let got = client.ok("/v1/get", json!({"agent_id": "ada", "path": "/round"})).await;
        assert_eq!(got["value"], round);
        let history = client.ok("/v1/history", json!({"agent_id": "ada", "path": "/round"})).await;
        assert_eq!(history["versions"].as_array().unwrap().len(), round + 1, "written twice");
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert!(database.number(TERMINATE_IDLE).await > 0, "there was none");
    }
}

/// Those of the pool that are idle for a while are asked whether they are there. What the sweeper has used just now is not, so
/// it is left alone here.
const TERMINATE_IDLE: &str = "
SELECT count(pg_terminate_backend(pid))
  FROM pg_stat_activity
 WHERE application_name = 'agentfs-server' AND datname = current_database() AND pid <> pg_backend_pid()
   AND state = 'idle' AND state_change < now() - interval '300 ms'";

#[tokio::test(flavor = "multi_thread")]
async fn of_a_session_before_its_commit_no_conditional_write_knows() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[]).await;
    api.until_served().await;
    let gate = Gate::close(&database).await;
    let client = api.client.clone();
    let put = json!({"agent_id": "ada", "path": "/x", "value": 1, "if_version": null});
    let writing = tokio::spawn(async move { client.post("/v1/put", put).await });
    database.until(Gate::WAITING, 1).await;
    database.end_sessions().await;
    gate.open().await;
    let (status, answer) = writing.await.unwrap();
    assert_eq!(status, 200, "{answer}");
    assert_eq!(database.number("SELECT count(*) FROM entry_versions").await, 1);
}

/// Sends a request to one process after the other until it has an answer that is not "try again".
async fn insist(clients: &[Client], first: usize, key: &str, body: &Value) -> (u16, Value) {
    let mut clients = clients.iter().cycle().skip(first);
    let ask = async || {
        let request = clients.next()?.request("/v1/put", &body.to_string());
        let response = request.header("idempotency-key", key).send().await.ok()?;
        let status = response.status().as_u16();
        (status != 503).then_some((status, response.json().await.ok()?))
    };
    eventually("it is answered", ask, Option::is_some).await.unwrap()
}

/// Three processes, each killed at random moments until told to stop.
async fn under_kills<T>(servers: Vec<Process>, work: impl Future<Output = T>) -> T {
    let stop = AtomicBool::new(false);
    let killers = servers.into_iter().map(async |mut server| {
        while !stop.load(Ordering::Relaxed) {
            let pause = rand::rng().random_range(20..400);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            server.kill();
            server.restart().await;
        }
    });
    let work = async {
        let done = work.await;
        stop.store(true, Ordering::Relaxed);
        done
    };
    tokio::join!(work, join_all(killers)).0
}

async fn three(database: &Database, settings: &[(&str, &str)]) -> (Vec<Process>, Vec<Client>) {
    let key = new_key(database, &[]).await;
    let url = [("DATABASE_URL", database.url.as_str())];
    let servers: Vec<Process> =
        (0..3).map(|_| Process::start(&[&url, settings].concat())).collect();
    join_all(servers.iter().map(Process::wait_until_ready)).await;
    let clients = servers.iter().map(|server| Client::new(server.url(), key.clone())).collect();
    (servers, clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_stays_exact_under_kills_of_three_processes() {
    let database = Database::migrated().await;
    let (servers, clients) = three(&database, &[("WRITE_QUOTA_PER_DAY", "100")]).await;
    let puts = join_all((0..300).map(|n| {
        let clients = &clients;
        async move {
            let body = json!({"agent_id": "ada", "path": format!("/p/{}", n % 7), "value": n});
            insist(clients, n, &format!("k{n}"), &body).await.0
        }
    }));
    let statuses = under_kills(servers, puts).await;
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 100);
    assert_eq!(statuses.iter().filter(|s| **s == 429).count(), 200);
    assert_eq!(database.number("SELECT count(*) FROM entry_versions").await, 100);
    assert_eq!(database.number("SELECT writes FROM quota_usage").await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_idempotency_key_is_one_version_under_kills_of_three_processes() {
    let database = Database::migrated().await;
    let (servers, clients) = three(&database, &[]).await;
    let rounds = async {
        for round in 0..10 {
            let body = json!({"agent_id": "ada", "path": "/x", "value": round});
            let key = format!("round-{round}");
            let puts = (0..50).map(|n| insist(&clients, n, &key, &body));
            let answers: HashSet<String> =
                join_all(puts).await.into_iter().map(|(_, answer)| answer.to_string()).collect();
            assert_eq!(answers.len(), 1, "{answers:?}");
        }
    };
    under_kills(servers, rounds).await;
    assert_eq!(database.number("SELECT count(*) FROM entry_versions").await, 10);
    assert_eq!(database.number("SELECT writes FROM quota_usage").await, 10);
    assert_eq!(database.number(UNBOOKED_BYTES).await, 0);
}
