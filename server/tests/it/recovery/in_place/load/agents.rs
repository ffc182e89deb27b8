//! Agents at work, and what they note of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::place::seed;
use crate::support::api::Client;
use crate::support::eventually::eventually;

/// Between two turns of an agent. With less, 33 agents and the restore want more than two processors have, and agents wait for one
/// another rather than for the switch. One of them asks every few milliseconds all the same.
const PAUSE: Duration = Duration::from_millis(150);

/// Turns that even a slow machine takes before long.
const SOME: usize = 100;

/// What an agent does.
#[derive(Debug, Clone, Copy)]
enum Trade {
    Put,
    Delete,
    Batch,
    Repeat,
    /// Puts what the sweeper takes away.
    Brief,
    Get,
    List,
    Search,
}

/// The agents of each API.
const TRADES: [Trade; 11] = [
    Trade::Put,
    Trade::Put,
    Trade::Delete,
    Trade::Batch,
    Trade::Batch,
    Trade::Repeat,
    Trade::Brief,
    Trade::Get,
    Trade::Get,
    Trade::List,
    Trade::Search,
];

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    pub route: &'static str,
    pub began: Timestamp,
    pub ended: Timestamp,
}

/// A version that an answer named as written.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    pub id: Uuid,
    pub began: Timestamp,
    pub ended: Timestamp,
}

/// What agents note.
#[derive(Debug, Default)]
pub struct Diary {
    pub answers: Vec<Answer>,
    pub acknowledged: Vec<Acknowledged>,
    /// The versions of two equal puts, one after the other, with one Idempotency-Key.
    pub repeated: Vec<[Uuid; 2]>,
    pub failures: Vec<String>,
}

/// The clock of one run: it never goes back.
#[derive(Debug, Clone, Copy)]
struct Clock(Instant, Timestamp);

impl Clock {
    fn now(&self) -> Timestamp {
        self.1 + self.0.elapsed()
    }
}

/// Agents that work until they are told to stop.
pub struct Agents {
    clock: Clock,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Diary>>,
}

impl Agents {
    pub fn start(clients: &[Client]) -> Self {
        let clock = Clock(Instant::now(), Timestamp::now());
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let pairs = clients.iter().flat_map(|client| TRADES.map(|trade| (client, trade)));
        let hire = |(number, (client, trade)): (usize, (&Client, Trade))| {
            let (client, stop, answered) = (client.clone(), stop.clone(), answered.clone());
            let run = Uuid::new_v4().simple().to_string();
            let diary = Diary::default();
            let mut agent = Agent { number, run, client, clock, diary };
            tokio::spawn(async move {
                let mut turn = 0;
                while !stop.load(Ordering::Relaxed) {
                    turn += 1;
                    agent.take_turn(trade, turn).await;
                    answered.fetch_add(1, Ordering::Relaxed);
                    sleep(PAUSE).await;
                }
                agent.diary
            })
        };
        let tasks = pairs.enumerate().map(hire).collect();
        Self { clock, stop, answered, tasks }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Waits until they have taken so many more turns, however long a slow machine takes for all of them.
    pub async fn until_more(&self, turns: usize) {
        let count = || self.answered.load(Ordering::Relaxed);
        let begun = count();
        for some in (0..=turns).step_by(SOME) {
            let enough = |count: &usize| *count >= begun + some;
            eventually("agents are answered", async || count(), enough).await;
        }
    }

    pub async fn until_later_than(&self, moment: Timestamp) {
        eventually("time passes", async || self.now(), |now| *now > moment).await;
    }

    /// Ends them, and collects what they have noted.
    pub async fn stop(self) -> Diary {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Diary::default();
        for diary in join_all(self.tasks).await {
            let Diary { answers, acknowledged, repeated, failures } = diary.unwrap();
            all.answers.extend(answers);
            all.acknowledged.extend(acknowledged);
            all.repeated.extend(repeated);
            all.failures.extend(failures);
        }
        all
    }
}

struct Agent {
    number: usize,
    /// What tells its paths from those of other runs.
    run: String,
    client: Client,
    clock: Clock,
    diary: Diary,
}

impl Agent {
    fn path(&self, turn: u32) -> String {
        // Some are overwritten.
        format!("/work/{}/{}", self.run, turn % 50)
    }

    fn body(&self, turn: u32) -> Value {
        let value = format!("notes on turn {turn} of {}", self.run);
        json!({"agent_id": "ada", "path": self.path(turn), "value": value, "searchable": turn.is_multiple_of(4)})
    }

    async fn take_turn(&mut self, trade: Trade, turn: u32) {
        match trade {
            Trade::Put => {
                self.write("/v1/put", self.body(turn), None).await;
            }
            Trade::Delete => {
                self.write("/v1/put", self.body(turn), None).await;
                let body = json!({"agent_id": "ada", "path": self.path(turn)});
                self.write("/v1/delete", body, None).await;
            }
            Trade::Batch => self.batch(turn).await,
            Trade::Repeat => {
                let key = Uuid::new_v4().to_string();
                let first = self.write("/v1/put", self.body(turn), Some(&key)).await;
                let again = self.write("/v1/put", self.body(turn), Some(&key)).await;
                if let (Some(first), Some(again)) = (first, again) {
                    self.diary.repeated.push([first, again]);
                }
            }
            Trade::Brief => {
                let mut body = self.body(turn);
                body["ttl_seconds"] = 1.into();
                self.ask("/v1/put", body, None).await;
            }
            Trade::Get => {
                let (path, value) = seed(turn);
                let body = json!({"agent_id": "ada", "path": path});
                let answer = self.ask("/v1/get", body, None).await;
                // It is there before the switch, after it, and on a replica that is behind.
                self.expect(answer["value"] == value, || format!("{path} is {answer}"));
            }
            Trade::List => {
                let body = json!({"agent_id": "ada", "prefix": "/seed", "limit": 20});
                let answer = self.ask("/v1/list", body, None).await;
                let items = answer["items"].as_array().map_or(0, Vec::len);
                self.expect(items == 20, || format!("a list of {items}: {answer}"));
            }
            Trade::Search => {
                let query = format!("notes on turn {turn}");
                // Among all that was filled in, a search that is exact for want of an index would take a processor for itself.
                let body =
                    json!({"agent_id": "ada", "query": query, "path_prefix": "/work", "limit": 5});
                let answer = self.ask("/v1/search", body, None).await;
                self.expect(answer["results"].is_array(), || format!("a search: {answer}"));
            }
        }
    }

    /// Puts, deletes and reads in one request, at one moment or not.
    async fn batch(&mut self, turn: u32) {
        let op = |op: &str, mut body: Value| {
            body["op"] = op.into();
            body
        };
        let gone = json!({"agent_id": "ada", "path": self.path(turn + 25)});
        let operations =
            [op("put", self.body(turn)), op("put", self.body(turn + 1)), op("delete", gone)];
        let began = self.clock.now();
        let body = json!({"operations": operations, "atomic": turn.is_multiple_of(2)});
        let answer = self.ask("/v1/batch", body, None).await;
        let ended = self.clock.now();
        let results = answer["results"].as_array().cloned().unwrap_or_default();
        self.expect(results.len() == 3, || format!("a batch: {answer}"));
        for result in results {
            self.expect(result.get("error").is_none(), || format!("of a batch: {result}"));
            self.acknowledge(&result, began, ended);
        }
    }

    /// Writes, and returns the version's id; none where there was nothing to delete.
    async fn write(&mut self, route: &'static str, body: Value, key: Option<&str>) -> Option<Uuid> {
        let began = self.clock.now();
        let answer = self.ask(route, body, key).await;
        self.acknowledge(&answer, began, self.clock.now())
    }

    fn acknowledge(&mut self, answer: &Value, began: Timestamp, ended: Timestamp) -> Option<Uuid> {
        let id = answer["version_id"].as_str()?.parse().unwrap();
        self.diary.acknowledged.push(Acknowledged { id, began, ended });
        Some(id)
    }

    async fn ask(&mut self, route: &'static str, body: Value, key: Option<&str>) -> Value {
        let began = self.clock.now();
        let mut request = self.client.request(route, &body.to_string());
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = async {
            let response = request.send().await.map_err(|error| format!("{error:?}"))?;
            let status = response.status();
            let text = response.text().await.map_err(|error| format!("{error:?}"))?;
            if status != 200 {
                return Err(format!("{status}: {text}"));
            }
            serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
        };
        let answer: Result<Value, String> = answer.await;
        let ended = self.clock.now();
        self.diary.answers.push(Answer { route, began, ended });
        answer.unwrap_or_else(|why| {
            let failure = format!("{ended} {route} of agent {}: {why}", self.number);
            self.diary.failures.push(failure);
            Value::Null
        })
    }

    /// Notes a failure where an answer is not as it has to be, unless it is none.
    fn expect(&mut self, is_so: bool, what: impl FnOnce() -> String) {
        if !is_so {
            self.diary.failures.push(what());
        }
    }
}
