//! GET /: what answers here, for whoever has its address alone.

use axum::body::Bytes;
use serde::Serialize;
use utoipa::openapi::Info;

#[derive(Debug, Serialize)]
struct Answer<'a> {
    name: &'a str,
    description: &'a str,
    version: &'a str,
    /// Where the page is, for people.
    docs: &'static str,
    /// Where the description is, for programs.
    openapi: &'static str,
    authentication: &'static str,
    /// The most bytes of a request's body, which clients split batches by.
    max_body_bytes: usize,
}

/// The answer, laid out for people.
pub(crate) fn answer(info: &Info, max_body_bytes: usize) -> Result<Bytes, serde_json::Error> {
    let answer = Answer {
        name: &info.title,
        description: info.description.as_deref().unwrap_or_default(),
        version: &info.version,
        docs: "/docs",
        openapi: "/openapi.json",
        authentication: "send the header Authorization: Bearer <id>.<secret>; whoever runs this server makes keys by `agentfs-server admin create-key`",
        max_body_bytes,
    };
    let mut json = serde_json::to_vec_pretty(&answer)?;
    json.push(b'\n');
    Ok(json.into())
}
