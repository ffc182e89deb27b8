//! The OpenAPI description at /openapi.json, generated from the routes' own types.

use std::collections::BTreeMap;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::error::Envelope;

/// The parts of the description that no route has.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "AgentFS",
        description = "Durable memory for AI agents, with the shape of a file system: JSON values at paths, with every version kept."
    ),
    modifiers(&KeyScheme),
    components(schemas(Envelope)),
    security(("key" = []))
)]
pub(super) struct Description;

struct KeyScheme;

impl Modify for KeyScheme {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("key", scheme);
    }
}

/// A header of answers: its name, the statuses with which it comes, and what it says.
type DescribedHeader = (&'static str, &'static [&'static str], &'static str);

/// The headers that clients go by. All of them are whole numbers.
const HEADERS: [DescribedHeader; 4] = [
    ("Retry-After", &["429", "503"], "Seconds after which a retry may succeed."),
    (
        "X-RateLimit-Limit",
        &["200", "429"],
        "Requests a minute, by the limit that leaves fewer: the key's or its tenant's.",
    ),
    ("X-RateLimit-Remaining", &["200", "429"], "Requests that are left of this minute."),
    ("X-RateLimit-Reset", &["200", "429"], "Seconds until the next minute begins."),
];

/// Adds the headers of answers to the description of all routes that take a key.
pub(super) fn add_headers(description: &mut utoipa::openapi::OpenApi) {
    let components = description.components.get_or_insert_default();
    for (name, _, about) in HEADERS {
        let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        let header = HeaderBuilder::new().schema(Some(number)).description(Some(about));
        components.headers.insert(name.to_owned(), header.build().into());
    }
    let operations = description.paths.paths.values_mut().filter_map(|path| path.post.as_mut());
    for (status, response) in operations.flat_map(|operation| &mut operation.responses.responses) {
        let RefOr::T(response) = response else { continue };
        for (name, statuses, _) in HEADERS {
            if statuses.contains(&status.as_str()) {
                let header = Ref::new(format!("#/components/headers/{name}"));
                response.headers.insert(name.to_owned(), RefOr::Ref(header));
            }
        }
    }
}

/// The answers that every route with a body and a key may give besides its own.
#[derive(Debug)]
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&[])
    }
}

/// The refusals of every route, and a route's `own`, each by its status.
fn refusals(own: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let sentences = [
        ("400", "The request is invalid; `code` and `message` say why."),
        ("401", "The key is missing, invalid, expired or revoked."),
        ("403", "The key lacks the scope, or the path is reserved."),
        (
            "413",
            "The body is larger than the server allows (MAX_BODY_BYTES, by default 1 MiB; 16 KiB for admin routes), or the response would be too large; `code` says which.",
        ),
        ("415", "The Content-Type is not JSON."),
        (
            "429",
            "A rate limit or quota is exceeded; Retry-After says when to try again. The quota of stored bytes has no Retry-After.",
        ),
        (
            "503",
            "The database is unavailable or busy, or the server is out of memory for requests; Retry-After says when to try again.",
        ),
    ];
    let all = sentences.iter().chain(own);
    all.map(|(status, about)| ((*status).to_owned(), refusal(about))).collect()
}

/// An answer in the error envelope.
fn refusal(about: &str) -> RefOr<Response> {
    let schema = Ref::from_schema_name("Envelope");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(about).content("application/json", content).build().into()
}

/// A key that is not there, or not in a tenant that the caller administers.
#[derive(Debug)]
pub(super) struct KeyRefusals;

impl IntoResponses for KeyRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&[("404", "The tenants that the caller administers have no such key.")])
    }
}

/// A write whose expectation does not hold, or whose Idempotency-Key came with another request.
#[derive(Debug)]
pub(super) struct WriteRefusals;

impl IntoResponses for WriteRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&[
            (
                "409",
                "The latest version of the entry is not the one of `if_version` or `if_sha256`; `current_version_id` is the latest.",
            ),
            ("422", "The Idempotency-Key was already used with a different request."),
        ])
    }
}

/// A move that cannot be made.
#[derive(Debug)]
pub(super) struct MoveRefusals;

impl IntoResponses for MoveRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&[
            ("404", "No entry is at `from` or below it."),
            ("409", "A live entry is at `to` or below it, and `overwrite` is false."),
            (
                "413",
                "There are more than 10,000 entries, or more than 64 MiB of values, or the body is too large; `code` says which.",
            ),
            ("422", "The Idempotency-Key was already used with a different request."),
        ])
    }
}

/// A read that must see a version that is nowhere.
#[derive(Debug)]
pub(super) struct ReadRefusals;

impl IntoResponses for ReadRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&[(
            "409",
            "The version of `min_version` is not in the database; a restore or a failover lost it.",
        )])
    }
}
