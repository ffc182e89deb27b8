//! POST /v1/batch: several gets, puts and deletes, in order.

mod description;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use self::description::{Operation as DescribedOperation, OperationResult};
use super::{delete, get, put};
use crate::domain::at_most::AtMost;
use crate::domain::memory::by::By;
use crate::domain::memory::idempotency::IdempotencyKey;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::extract::{Bearer, Fields, KeptJson, NoIdempotencyHeader, Part, object};
use crate::http::openapi::WriteRefusals;
use crate::http::response::raw_json;
use crate::memory::batch::{Answer as Done, Answered, BatchAnswer, MAX_OPERATIONS, Operation};
use crate::memory::{MAX_BYTES, MemoryError};
use crate::runtime::cpu::compute;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = BatchRequest)]
pub(crate) struct Request {
    /// What is done, in this order.
    #[schema(value_type = Vec<DescribedOperation>, min_items = 1, max_items = 100)]
    operations: AtMost<Box<RawValue>, MAX_OPERATIONS>,
    /// Whether to apply all operations atomically, or none.
    #[serde(default)]
    atomic: bool,
}

#[derive(Debug, ToSchema)]
#[schema(as = BatchAnswer)]
#[expect(dead_code, reason = "answers are spliced together; this describes them")]
pub(crate) struct Answer {
    /// For each operation, the response of its own route, or its error.
    results: Vec<OperationResult>,
}

/// What tells operations apart; the rest is the request of the route of that name.
#[derive(Debug, Deserialize)]
struct Kind {
    op: Op,
    idempotency_key: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Get,
    Put,
    Delete,
    Move,
    Touch,
}

/// Run several gets, puts and deletes in one request
#[utoipa::path(post, path = "/v1/batch", operation_id = "run_batch", tag = "memory", request_body = Request,
    responses((status = 200, description = "The results of the operations, in order.", body = Answer), WriteRefusals))]
pub(crate) async fn batch(
    State(app): State<App>,
    bearer: Bearer,
    _: NoIdempotencyHeader,
    fields: Fields,
    KeptJson(request, reserved): KeptJson<Request>,
) -> Result<Response, ApiError> {
    let Request { operations: given, atomic } = request;
    let tenant = bearer.0.tenant;
    let operations = operations(&bearer, &fields, given).await?;
    let BatchAnswer { answers: answered, reserved } =
        app.memory.batch(tenant, operations, atomic, reserved).await?;
    let bytes = answered.iter().filter_map(|answered| Some(answered.as_ref().ok()?.bytes())).sum();
    let answers = compute(Some(tenant), bytes, || answers(answered)).await;
    Ok(raw_json::answer(answers, reserved))
}

/// The operations, all checked before any is done.
async fn operations(
    bearer: &Bearer,
    fields: &Fields,
    given: AtMost<Box<RawValue>, MAX_OPERATIONS>,
) -> Result<Vec<Operation>, ApiError> {
    let given = given.all().map_err(MemoryError::Operations)?;
    if given.is_empty() {
        return Err(MemoryError::Operations(0).into());
    }
    let tenant = bearer.0.tenant;
    let bytes = given.iter().map(|operation| operation.get().len()).sum();
    let operations = given.into_iter().enumerate().map(|(index, raw)| {
        operation(bearer.by(), fields, index, raw.get().as_bytes())
            .and_then(|operation| bearer.with(operation.scope()).map(|_| operation))
            .map_err(|error| error.of_operation(index))
    });
    compute(Some(tenant), bytes, || operations.collect()).await
}

fn operation(by: By, fields: &Fields, index: usize, json: &[u8]) -> Result<Operation, ApiError> {
    const WRONG: &str = "not an operation";
    let Kind { op, idempotency_key } = object(json, WRONG)?;
    let part = Part { wrong: WRONG, operation: Some(index), others: &["op"] };
    let write = Part { others: &["op", "idempotency_key"], ..part };
    let operation = match op {
        Op::Get => {
            return Ok(Operation::get(
                by.tenant,
                &fields.parse::<get::Request>(json, part)?.into(),
            )?);
        }
        Op::Put => Operation::put(by, fields.parse::<put::Request>(json, write)?.try_into()?)?,
        Op::Delete => {
            let request: delete::Request = fields.parse(json, write)?;
            if request.recursive {
                return Err(not_in_batch("a recursive delete", "/v1/delete"));
            }
            Operation::delete(by, request.try_into()?)?
        }
        Op::Move => return Err(not_in_batch("a move", "/v1/move")),
        Op::Touch => return Err(not_in_batch("a touch", "/v1/touch")),
    };
    let key = idempotency_key.map(|key| IdempotencyKey::parse(&key)).transpose()?;
    Ok(operation.once(key))
}

/// The refusal of what only its own route does.
fn not_in_batch(what: &str, route: &str) -> ApiError {
    let sentence = format!("{what} is no operation of a batch; send it to {route}");
    ApiError::new(Code::ValidationError, sentence)
}

/// The answers of the operations' own routes, one after the other.
fn answers(answered: Vec<Answered>) -> Vec<u8> {
    let mut body = br#"{"results":["#.to_vec();
    for (index, answered) in answered.into_iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        match answered.map_err(ApiError::from).and_then(answer) {
            Ok(json) if body.len() + json.len() <= MAX_BYTES + MAX_BYTES / 4 => body.extend(json),
            Ok(_) => body.extend(ApiError::from(MemoryError::BatchTooLarge).json(None)),
            Err(error) => body.extend(error.json(None)),
        }
    }
    body.extend_from_slice(b"]}");
    body
}

fn answer(done: Done) -> Result<Vec<u8>, ApiError> {
    match done {
        Done::Got(found) => get::answer(&found),
        Done::Put(version) => json(&put::Response::from(version)),
        Done::Deleted(tombstone) => json(&delete::Response::from(tombstone)),
    }
}

fn json(answer: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(answer).map_err(|_| ApiError::internal())
}
