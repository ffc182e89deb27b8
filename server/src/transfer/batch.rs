//! A batch of puts, within the bounds of a request.

use std::iter;

use agentfs_contract::error_code::ErrorCode;
use serde::Deserialize;

use super::client::{Client, ClientError, Refusal, Trouble, patiently};
use super::lines::Place;
use crate::domain::MAX_BODY;
use crate::memory::batch::MAX_OPERATIONS;

const ROUTE: &str = "/v1/batch";
const BEGIN: &str = r#"{"operations":["#;
const END: &str = "]}";
/// The bytes of a body besides its operations.
pub(super) const AROUND: usize = BEGIN.len() + END.len();

/// A put that is to be sent.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) json: String,
    /// Whether it is another one at another time.
    pub(super) is_of_now: bool,
    /// The place after its line.
    pub(super) place: Place,
}

/// Puts that are sent together.
#[derive(Debug)]
pub(super) struct Batch {
    operations: Vec<Operation>,
    bytes: usize,
    most: usize,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Sent {
    /// How many puts are committed before the first that is not.
    pub(super) puts: u64,
    /// The place after them.
    pub(super) place: Option<Place>,
    /// The first that is not.
    pub(super) refused: Option<Refused>,
}

/// A line that the server refuses.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) line: u64,
    pub(super) refusal: Refusal,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<Outcome>,
}

/// What became of an operation.
#[derive(Deserialize)]
struct Outcome {
    error: Option<Refusal>,
}

impl Batch {
    /// An empty one for a server that takes bodies of so many bytes. No more than the usual are used for several operations, since
    /// more would only cost the server memory; one alone may take all of them.
    pub(super) fn new(max_body: usize) -> Self {
        Self {
            operations: Vec::new(),
            bytes: 0,
            most: max_body.min(MAX_BODY).saturating_sub(AROUND),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Whether another operation of so many bytes still goes with these.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.operations.len() < MAX_OPERATIONS && self.bytes + bytes <= self.most
    }

    pub(super) fn add(&mut self, operation: Operation) {
        // With the comma after it.
        self.bytes += operation.json.len() + 1;
        self.operations.push(operation);
    }

    /// Sends it until it is answered. It is the same request each time, so that nothing is put twice.
    pub(super) async fn send(&self, client: &Client) -> Result<Sent, ClientError> {
        let body = self.body();
        let answered = patiently(async || self.outcomes(client, &body).await).await;
        match answered {
            Ok(outcomes) => Ok(self.sent(outcomes)),
            Err(ClientError::Refused(refusal)) => self.none_sent(refusal),
            Err(error) => Err(error),
        }
    }

    fn body(&self) -> String {
        let operations: Vec<&str> = self.operations.iter().map(|op| op.json.as_str()).collect();
        format!("{BEGIN}{}{END}", operations.join(","))
    }

    /// The refusal of each operation that was refused, in order.
    async fn outcomes(&self, client: &Client, body: &str) -> Result<Vec<Option<Refusal>>, Trouble> {
        let answer = client.post(ROUTE, body).await?;
        let Answer { results } = client.read(ROUTE, &answer).map_err(Trouble::Lasting)?;
        if results.len() != self.operations.len() {
            let what = format!("{} results", results.len());
            return Err(Trouble::Lasting(client.no_api(ROUTE, what)));
        }
        let outcomes: Vec<Option<Refusal>> = results.into_iter().map(|done| done.error).collect();
        match outcomes.iter().flatten().find(|refusal| refusal.is_passing()) {
            Some(refusal) => Err(Trouble::of(refusal.clone(), None)),
            None => Ok(outcomes),
        }
    }

    fn sent(&self, outcomes: Vec<Option<Refusal>>) -> Sent {
        let mut sent = Sent { puts: 0, place: None, refused: None };
        for (operation, outcome) in iter::zip(&self.operations, outcomes) {
            if let Some(refusal) = outcome.filter(|refusal| !operation.was_put(refusal)) {
                let line = operation.place.line;
                return Sent { refused: Some(Refused { line, refusal }), ..sent };
            }
            sent.puts += 1;
            sent.place = Some(operation.place.clone());
        }
        sent
    }

    /// What becomes of a batch that is refused as a whole for one of its operations, or for what has nothing to do with them.
    fn none_sent(&self, refusal: Refusal) -> Result<Sent, ClientError> {
        let Some((index, message)) = of_operation(&refusal.message) else {
            return Err(ClientError::Refused(refusal));
        };
        let Some(operation) = self.operations.get(index) else {
            return Err(ClientError::Refused(refusal));
        };
        let line = operation.place.line;
        let refusal = Refusal { message: message.to_owned(), ..refusal };
        Ok(Sent { puts: 0, place: None, refused: Some(Refused { line, refusal }) })
    }
}

impl Operation {
    /// Whether it is refused only since it was put before, with more time to live: its key has the hash of its line.
    fn was_put(&self, refusal: &Refusal) -> bool {
        self.is_of_now && refusal.is(ErrorCode::IdempotencyKeyMismatch)
    }
}

/// The index that a refusal names, and what it says of that operation.
fn of_operation(message: &str) -> Option<(usize, &str)> {
    let (index, message) = message.strip_prefix("operations[")?.split_once("]: ")?;
    Some((index.parse().ok()?, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(operations: u64) -> Batch {
        let mut batch = Batch::new(MAX_BODY);
        for line in 1..=operations {
            let place = Place { line, ..Place::default() };
            batch.add(Operation { json: "{}".to_owned(), is_of_now: line == 2, place });
        }
        batch
    }

    fn refusal(code: ErrorCode) -> Refusal {
        Refusal { code: code.as_str().to_owned(), message: "no".to_owned() }
    }

    #[test]
    fn a_batch_is_a_request_of_its_bounds() {
        assert_eq!(batch(2).body(), r#"{"operations":[{},{}]}"#);
        assert!(batch(99).has_room(2) && !batch(100).has_room(2));
        let room = MAX_BODY - batch(2).body().len() - 1;
        assert!(batch(2).has_room(room) && !batch(2).has_room(room + 1));
        let small = Batch::new(100);
        assert!(small.has_room(100 - AROUND) && !small.has_room(101 - AROUND));
        assert!(!Batch::new(8 * MAX_BODY).has_room(MAX_BODY), "more than the usual go alone");
    }

    #[test]
    fn the_place_is_that_before_the_first_refusal() {
        let reused = || Some(refusal(ErrorCode::IdempotencyKeyMismatch));
        let quota = || Some(refusal(ErrorCode::QuotaWritesPerDay));
        let sent = batch(4).sent(vec![None, reused(), quota(), None]);
        assert_eq!(sent.puts, 2, "of the second, only the time to live differs");
        assert_eq!(sent.place.unwrap().line, 2);
        assert_eq!(sent.refused.unwrap().line, 3);
        let sent = batch(2).sent(vec![reused(), None]);
        assert!(sent.place.is_none() && sent.refused.unwrap().line == 1);
    }

    #[test]
    fn what_a_whole_batch_is_refused_for_is_told_by_its_line() {
        let refused = |message: &str| {
            let refusal = Refusal { code: "X".to_owned(), message: message.to_owned() };
            batch(4).none_sent(refusal)
        };
        let Refused { line, refusal } =
            refused("operations[2]: too late").unwrap().refused.unwrap();
        assert_eq!((line, refusal.message.as_str()), (3, "too late"));
        assert!(refused("operations[9]: too late").is_err());
        assert!(refused("no valid key").is_err());
    }
}
