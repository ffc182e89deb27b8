//! The OpenAPI description at /openapi.json, generated from the routes' own types.

use std::collections::BTreeMap;

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::error::Envelope;

/// The parts of the description that no route has.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "AgentFS",
        description = "Durable memory with the shape of a file system for AI agents: JSON values at paths, every version kept."
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
        ("400", "The request is wrong; `code` and `message` say how."),
        ("401", "No valid key."),
        ("403", "The key lacks the scope, or the path is reserved."),
        (
            "413",
            "The body is larger than 1 MiB, or than 16 KiB of an administrator's request, or the answer would take too much; `code` says which.",
        ),
        ("415", "The body is not announced as JSON."),
        (
            "429",
            "A limit or quota is used up; Retry-After says until when. A quota of stored bytes has no Retry-After.",
        ),
        (
            "503",
            "The database is away or busy for the moment, or the server has no memory to spare; Retry-After says when to try again.",
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
        refusals(&[("404", "There is no such key in a tenant that the caller administers.")])
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
                "The entry's latest version is not that of `if_version`; `current_version_id` is the one it has.",
            ),
            ("422", "The Idempotency-Key came before with another request."),
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
            "The version of `min_version` is not in the database; a restore or a failover has lost it.",
        )])
    }
}
