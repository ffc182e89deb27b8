//! POST /v1/batch: several gets, puts and deletes, in order.

use axum::extract::State;
use axum::response::Response;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::write::refusal;
use super::{delete, get, put};
use crate::domain::access::scope::Scope;
use crate::domain::memory::change::{Action, Change, Outcome};
use crate::domain::memory::idempotency::IdempotencyKey;
use crate::domain::{EntryKey, TenantId};
use crate::group_commit::BatchError;
use crate::group_commit::writes::{Done, Submission};
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::extract::{Bearer, IdempotencyHeader, Json, object};
use crate::http::openapi::WriteRefusals;
use crate::http::response::raw_json;
use crate::store::entries::get::{MAX_BYTES, SnapshotEntry, snapshot};

/// Most operations of a batch.
const MAX_OPERATIONS: usize = 100;
/// Gets that are asked for at once; their values are in memory together.
const STRIDE: usize = 8;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = BatchRequest)]
pub(crate) struct Request {
    /// What is done, in this order.
    #[schema(schema_with = described)]
    operations: Vec<Box<RawValue>>,
    /// Whether all of it is done at one moment, or nothing.
    #[serde(default)]
    atomic: bool,
}

#[derive(Debug, ToSchema)]
#[schema(as = BatchAnswer)]
#[expect(dead_code, reason = "answers are spliced together; this describes them")]
pub(crate) struct Answer {
    /// For each operation the answer of its own route, or its error.
    results: Vec<serde_json::Value>,
}

/// What tells operations apart; the rest is the request of the route of that name.
#[derive(Debug, Deserialize)]
struct Kind {
    op: Op,
    idempotency_key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Get,
    Put,
    Delete,
}

#[derive(Debug)]
struct Operation {
    op: Op,
    change: Change,
}

/// Several gets, puts and deletes in one request
#[utoipa::path(post, path = "/v1/batch", tag = "memory", request_body = Request,
    responses((status = 200, description = "Each operation's answer, in order.", body = Answer), WriteRefusals))]
pub(crate) async fn batch(
    State(app): State<App>,
    bearer: Bearer,
    IdempotencyHeader(key): IdempotencyHeader,
    Json(request): Json<Request>,
) -> Result<Response, ApiError> {
    if key.is_some() {
        return Err(ApiError::new(
            Code::InvalidIdempotencyKey,
            "a batch takes no Idempotency-Key; give each of its puts and deletes a field idempotency_key",
        ));
    }
    let operations = operations(&bearer, &request)?;
    let ops: Vec<(Op, EntryKey)> =
        operations.iter().map(|o| (o.op, o.change.key.clone())).collect();
    let changes = operations.into_iter().map(|operation| operation.change);
    let done = match (request.atomic, ops.iter().all(|(op, _)| *op == Op::Get)) {
        (false, _) => one_by_one(&app, &ops, changes.collect()).await,
        (true, true) => at_one_moment(&app, &ops).await?,
        (true, false) => all_or_none(&app, changes.collect()).await?,
    };
    Ok(raw_json::answer(answer(&ops, done)))
}

/// The operations, all checked before any is done.
fn operations(bearer: &Bearer, request: &Request) -> Result<Vec<Operation>, ApiError> {
    let count = request.operations.len();
    if !(1..=MAX_OPERATIONS).contains(&count) {
        let sentence =
            format!("operations has {count} items; it must have between 1 and {MAX_OPERATIONS}");
        return Err(ApiError::new(Code::ValidationError, sentence));
    }
    let tenant = bearer.0.tenant;
    let operations = request.operations.iter().enumerate().map(|(index, raw)| {
        operation(tenant, raw)
            .and_then(|operation| {
                let scope =
                    if operation.op == Op::Get { Scope::MemoryRead } else { Scope::MemoryWrite };
                bearer.with(scope).map(|_| operation)
            })
            .map_err(|error| error.of_operation(index))
    });
    operations.collect()
}

fn operation(tenant: TenantId, raw: &RawValue) -> Result<Operation, ApiError> {
    let Kind { op, idempotency_key } = parse(raw)?;
    let change = match op {
        Op::Get => Change::new(parse::<get::Request>(raw)?.key_of_now(tenant)?, Action::Read),
        Op::Put => parse::<put::Request>(raw)?.change(tenant)?,
        Op::Delete => parse::<delete::Request>(raw)?.change(tenant)?,
    };
    let key = idempotency_key.filter(|_| op != Op::Get);
    let key = key.map(|key| IdempotencyKey::parse(&key)).transpose()?;
    Ok(Operation { op, change: IdempotencyHeader(key).once(change) })
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, ApiError> {
    object(raw.get().as_bytes())
        .map_err(|e| ApiError::new(Code::ValidationError, format!("not an operation: {e}")))
}

/// Operations as the description of the API says them: the request of the operation's own route, and what it is.
fn described() -> Array {
    let any = OneOfBuilder::new()
        .item(operation_of::<get::Request>("get"))
        .item(operation_of::<put::Request>("put"))
        .item(operation_of::<delete::Request>("delete"));
    ArrayBuilder::new().items(any).min_items(Some(1)).max_items(Some(MAX_OPERATIONS)).build()
}

fn operation_of<R: PartialSchema>(op: &str) -> RefOr<Schema> {
    let mut schema = R::schema();
    if let RefOr::T(Schema::Object(request)) = &mut schema {
        let kind = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([op]));
        request.properties.insert("op".to_owned(), kind.into());
        request.required.push("op".to_owned());
        if op == "get" {
            request.properties.remove("as_of");
        } else {
            let key = ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some("^[A-Za-z0-9_-]{1,128}$"))
                .description(Some("As the header Idempotency-Key of the operation's own route"));
            request.properties.insert("idempotency_key".to_owned(), key.into());
        }
    }
    schema
}

/// Each for itself, in order: gets that follow each other together, and so changes.
async fn one_by_one(
    app: &App,
    ops: &[(Op, EntryKey)],
    mut changes: Vec<Change>,
) -> Vec<Result<Done, ApiError>> {
    let mut done = Vec::with_capacity(ops.len());
    let mut bytes = 0;
    for run in ops.chunk_by(|(a, _), (b, _)| (*a == Op::Get) == (*b == Op::Get)) {
        let own: Vec<Change> = changes.drain(..run.len()).collect();
        if run[0].0 == Op::Get {
            for stride in run.chunks(STRIDE) {
                done.extend(reads(app, stride, &mut bytes).await);
            }
        } else {
            let written = app.writes.submit(Submission { changes: own, atomic: false }).await;
            let failed = |error: BatchError| vec![Err(error); run.len()];
            done.extend(
                written.unwrap_or_else(failed).into_iter().map(|one| one.map_err(Into::into)),
            );
        }
    }
    done
}

async fn reads(
    app: &App,
    stride: &[(Op, EntryKey)],
    bytes: &mut usize,
) -> Vec<Result<Done, ApiError>> {
    if *bytes > MAX_BYTES {
        return stride.iter().map(|_| Err(too_large())).collect();
    }
    let entries = join_all(stride.iter().map(|(_, key)| app.reads.submit(key.clone()))).await;
    let entries = entries.into_iter().map(|entry| {
        let entry = entry?;
        *bytes += entry.as_ref().map_or(0, |entry| entry.value.len());
        Ok(Done { outcome: Outcome::Read(entry.as_ref().map(|e| e.version_id)), entry })
    });
    entries.collect()
}

/// Gets alone: one statement sees one moment.
async fn at_one_moment(
    app: &App,
    ops: &[(Op, EntryKey)],
) -> Result<Vec<Result<Done, ApiError>>, ApiError> {
    let keys: Vec<&EntryKey> = ops.iter().map(|(_, key)| key).collect();
    let found = snapshot(&app.pool, &keys).await?.into_iter();
    let done = |found: SnapshotEntry| Done {
        outcome: Outcome::Read(found.version_id),
        entry: found.entry,
    };
    Ok(found.map(|found| Ok(done(found))).collect())
}

/// Everything in one transaction, or nothing.
async fn all_or_none(
    app: &App,
    changes: Vec<Change>,
) -> Result<Vec<Result<Done, ApiError>>, ApiError> {
    let done = app.writes.submit(Submission { changes, atomic: true }).await?;
    let done = done.into_iter().collect::<Result<Vec<Done>, BatchError>>()?;
    let reason = done
        .iter()
        .enumerate()
        .find(|(_, done)| done.outcome.is_refusal() && done.outcome != Outcome::Undone);
    if let Some((index, Done { outcome, .. })) = reason {
        let refusal = refusal(*outcome).unwrap_or_else(ApiError::internal);
        return Err(refusal.of_operation(index));
    }
    Ok(done.into_iter().map(Ok).collect())
}

/// The answers of the operations' own routes, one after the other.
fn answer(ops: &[(Op, EntryKey)], done: Vec<Result<Done, ApiError>>) -> Vec<u8> {
    let mut body = br#"{"results":["#.to_vec();
    for (index, ((op, key), done)) in ops.iter().zip(done).enumerate() {
        if index > 0 {
            body.push(b',');
        }
        match done.and_then(|done| one(*op, key, &done)) {
            Ok(json) if body.len() + json.len() <= MAX_BYTES + MAX_BYTES / 4 => body.extend(json),
            Ok(_) => body.extend(too_large().json(None)),
            Err(error) => body.extend(error.json(None)),
        }
    }
    body.extend_from_slice(b"]}");
    body
}

fn one(op: Op, key: &EntryKey, done: &Done) -> Result<Vec<u8>, ApiError> {
    if let Some(refusal) = refusal(done.outcome) {
        return Err(refusal);
    }
    match (op, done) {
        (Op::Get, Done { outcome: Outcome::Read(Some(_)), entry: None }) => Err(too_large()),
        (Op::Get, Done { entry, .. }) => get::answer(&key.path, entry.as_ref()),
        (Op::Put, done) => json(&put::Response::of(done.outcome)?),
        (Op::Delete, done) => json(&delete::Response::of(done.outcome)?),
    }
}

fn json(answer: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(answer).map_err(|_| ApiError::internal())
}

fn too_large() -> ApiError {
    let sentence = format!(
        "the values of this batch are more than {} MiB; get the rest by another request",
        MAX_BYTES >> 20
    );
    ApiError::new(Code::AnswerTooLarge, sentence)
}
