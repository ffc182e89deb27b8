//! What clients of three processes see of single entries, held against every order that could explain it.
//!
//! Versions of an entry are numbered, so the only order that can explain the writes is known. What is left to check is that
//! each operation took effect at a moment between its beginning and its end: an operation that began after another had ended
//! must not see or make an earlier state.

use std::collections::HashMap;
use std::time::Instant;

use futures::future::join_all;
use rand::RngExt as _;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::support::api::{Client, new_key};
use crate::support::database::Database;
use crate::support::process::Process;

/// What an operation says of the entry's state.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    /// It made this version.
    Made(String),
    /// It made this version right after that one (`None`: after no live one).
    MadeAfter(String, Option<String>),
    /// It saw this live version.
    Saw(String),
    /// It saw no live version.
    SawNone,
}

#[derive(Debug, Clone)]
struct Seen {
    began: Instant,
    ended: Instant,
    said: Said,
}

/// The versions of an entry, first to last; true for tombstones.
type Versions = Vec<(String, bool)>;

/// Why no order explains what was seen, if none does.
fn contradiction(mut seen: Vec<Seen>, versions: &Versions) -> Option<String> {
    let numbers: HashMap<&str, usize> =
        versions.iter().zip(1..).map(|((id, _), n)| (id.as_str(), n)).collect();
    let absent = |n: usize| n == 0 || versions[n - 1].1;
    let number = |id: &str| numbers.get(id).copied().ok_or(format!("version {id} does not exist"));
    let began: HashMap<usize, Instant> = seen
        .iter()
        .filter_map(|s| match &s.said {
            Said::Made(id) | Said::MadeAfter(id, _) => Some((*numbers.get(id.as_str())?, s.began)),
            _ => None,
        })
        .collect();
    seen.sort_by_key(|s| s.began);
    // The place of each operation in the order, the least that is possible; a write's is its version's.
    let mut placed: Vec<(Instant, usize)> = Vec::new();
    for s in &seen {
        let least = placed.iter().filter(|(ended, _)| *ended < s.began).map(|(_, n)| *n).max();
        let least = least.unwrap_or(0);
        let place = match &s.said {
            Said::Made(id) | Said::MadeAfter(id, _) => match number(id) {
                Ok(n) if n > least => n,
                Ok(n) => return Some(format!("{s:?} made {n} when {least} was there")),
                Err(e) => return Some(e),
            },
            Said::Saw(id) => match number(id) {
                Ok(n) if n >= least => n,
                Ok(n) => return Some(format!("{s:?} saw {n} when {least} was there")),
                Err(e) => return Some(e),
            },
            Said::SawNone => match (least..=versions.len()).find(|n| absent(*n)) {
                Some(n) => n,
                None => return Some(format!("{s:?}: nothing was deleted since {least}")),
            },
        };
        if began.get(&place).is_some_and(|began| *began > s.ended) {
            return Some(format!("{s:?} saw {place} before it was begun"));
        }
        if let Said::MadeAfter(_, before) = &s.said {
            let right = match before {
                Some(id) => number(id) == Ok(place - 1),
                None => absent(place - 1),
            };
            if !right {
                return Some(format!("{s:?} was made after another version than it expected"));
            }
        }
        placed.push((s.ended, place));
    }
    None
}

const KEYS: usize = 3;

fn id(answer: &Value) -> Option<String> {
    answer["version_id"].as_str().map(str::to_owned)
}

/// One random operation on `path`; what it said, if it was answered.
async fn operate(client: &Client, path: &str, n: usize) -> Option<Said> {
    let kind = rand::rng().random_range(0..10);
    match kind {
        0..3 => Some(Said::Made(id(&client.put(path, json!(n)).await)?)),
        3 => Some(id(&client.delete(path).await).map_or(Said::SawNone, Said::Made)),
        4..6 => {
            let expected = id(&client.get(path).await);
            let body = json!({"agent_id": "ada", "path": path, "value": n, "if_version": expected});
            let (status, answer) = client.post("/v1/put", body).await;
            match status.as_u16() {
                200 => Some(Said::MadeAfter(id(&answer)?, expected)),
                409 => {
                    let current = answer["error"]["current_version_id"].as_str();
                    Some(current.map_or(Said::SawNone, |id| Said::Saw(id.to_owned())))
                }
                other => panic!("answered {other}: {answer}"),
            }
        }
        _ => Some(id(&client.get(path).await).map_or(Said::SawNone, Said::Saw)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_single_entries_through_three_processes() {
    let database = Database::migrated().await;
    let key = new_key(&database, &[]).await;
    let url = ("DATABASE_URL", database.url.as_str());
    let servers = [
        Process::start(&[url]),
        Process::start(&[url, ("DATABASE_WRITERS", "2")]),
        Process::start(&[url, ("DATABASE_READERS", "3")]),
    ];
    join_all(servers.iter().map(Process::wait_until_ready)).await;
    let clients = (0..15).map(|c| {
        let client = Client::new(servers[c % 3].url(), key.clone());
        tokio::spawn(async move {
            let mut seen: Vec<(usize, Seen)> = Vec::new();
            for n in 0..80 {
                let entry = rand::rng().random_range(0..KEYS);
                let began = Instant::now();
                let said = operate(&client, &format!("/k/{entry}"), n).await;
                let ended = Instant::now();
                seen.extend(said.map(|said| (entry, Seen { began, ended, said })));
            }
            seen
        })
    });
    let seen: Vec<(usize, Seen)> =
        join_all(clients).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(seen.len(), 15 * 80);
    for entry in 0..KEYS {
        let rows = sqlx::query(
            "SELECT id::text, deleted_at IS NOT NULL FROM entry_versions WHERE path = $1 ORDER BY version",
        )
        .bind(format!("/k/{entry}"))
        .fetch_all(&mut database.connect().await)
        .await
        .unwrap();
        let versions: Versions = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let own = seen.iter().filter(|(e, _)| *e == entry).map(|(_, s)| s.clone()).collect();
        assert_eq!(contradiction(own, &versions), None);
    }
}

#[test]
fn histories_that_no_order_explains_are_found() {
    let zero = Instant::now();
    let at = |ms: u64| zero + std::time::Duration::from_millis(ms);
    let seen = |began, ended, said| Seen { began: at(began), ended: at(ended), said };
    let made = |id: &str| Said::Made(id.to_owned());
    let saw = |id: &str| Said::Saw(id.to_owned());
    let versions: Versions = vec![("a".into(), false), ("b".into(), false), ("c".into(), true)];
    let check = |seen: &[Seen]| contradiction(seen.to_vec(), &versions);
    let (a, b) = (seen(0, 1, made("a")), seen(2, 5, made("b")));
    let right = [a.clone(), b.clone(), seen(3, 4, saw("a")), seen(6, 7, saw("b"))];
    assert_eq!(check(&right), None);
    assert!(check(&[a.clone(), b.clone(), seen(6, 7, saw("a"))]).is_some(), "a stale read");
    let back = [a.clone(), b.clone(), seen(3, 4, saw("b")), seen(4, 5, saw("a"))];
    assert_eq!(check(&back), None, "the two reads overlap by their common moment");
    let back = [a.clone(), b.clone(), seen(2, 3, saw("b")), seen(4, 5, saw("a"))];
    assert!(check(&back).is_some(), "reads went back in time");
    assert!(check(&[seen(0, 1, saw("b")), seen(2, 3, made("b"))]).is_some(), "from the future");
    assert!(check(&[a.clone(), seen(2, 3, Said::SawNone)]).is_none(), "c deletes it");
    assert!(
        check(&[a.clone(), b.clone(), seen(8, 9, made("c")), seen(6, 7, Said::SawNone)]).is_some(),
        "nothing was deleted yet"
    );
    let lost = Said::MadeAfter("c".into(), Some("a".into()));
    assert!(check(&[a, b, seen(6, 7, lost)]).is_some(), "a lost update");
}
