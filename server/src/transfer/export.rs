//! Writes the entries of an agent as lines that an import takes.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::client::{self, Client, ClientError, patiently};
use super::progress::Progress;
use crate::domain::memory::agent_id::{AgentId, InvalidAgentId};
use crate::domain::memory::path::{InvalidPath, Prefix};

const ROUTE: &str = "/v1/dump";
/// Most entries of a page.
const PAGE: u32 = 500;

/// What is exported.
#[derive(Debug)]
pub struct Export {
    /// The API.
    pub client: Client,
    /// The agent whose memory it is.
    pub agent: String,
    /// Only entries at this path or below it; `/` is all.
    pub prefix: String,
}

/// Why an export is incomplete.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The agent's name is invalid.
    #[error("--agent: {0}")]
    Agent(#[from] InvalidAgentId),
    /// The prefix is invalid.
    #[error("--prefix: {0}")]
    Prefix(#[from] InvalidPath),
    /// The entries cannot be read.
    #[error("{0}; the output is incomplete")]
    Client(#[from] ClientError),
    /// They cannot be written.
    #[error("the entries cannot be written: {0}")]
    Write(#[from] io::Error),
}

impl ExportError {
    /// Whether the same command may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Client(error) if error.is_transient())
    }
}

#[derive(Serialize)]
struct Request<'a> {
    agent_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    prefix: &'a str,
    limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    entries: Vec<Line<'a>>,
    next_cursor: Option<String>,
}

/// An entry of a dump, and a line: what it has is written as it came.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(borrow)]
    tags: &'a RawValue,
    #[serde(borrow)]
    importance: &'a RawValue,
    searchable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl Export {
    /// Writes all entries in the order of their paths, and says how many there were.
    pub async fn run(&self, out: &mut impl Write) -> Result<u64, ExportError> {
        AgentId::parse(&self.agent)?;
        let prefix = Prefix::parse(&self.prefix)?;
        let mut progress = Progress::begin(0);
        let (mut entries, mut cursor) = (0, None);
        loop {
            let request = client::body(&Request {
                agent_id: &self.agent,
                prefix: prefix.as_str(),
                limit: PAGE,
                cursor: cursor.as_deref(),
            });
            let answer = patiently(async || self.client.post(ROUTE, &request).await).await?;
            let page: Page<'_> = self.client.read(ROUTE, &answer)?;
            for line in &page.entries {
                serde_json::to_writer(&mut *out, line).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
                entries += 1;
            }
            progress.show("exported", entries, None);
            cursor = page.next_cursor;
            if cursor.is_none() {
                out.flush()?;
                return Ok(entries);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_the_dump_has_without_its_version() {
        let answer = r#"{"entries":[{"value":{"b":1.0,"a":"\u00e9"},"path":"/\u00e9","tags":["x"],"importance":0.1,"searchable":true,"version_id":"0","created_at":"2","expires_at":null}],"count":1}"#;
        let page: Page<'_> = serde_json::from_slice(answer.as_bytes()).unwrap();
        assert_eq!(
            serde_json::to_string(&page.entries[0]).unwrap(),
            r#"{"path":"/é","value":{"b":1.0,"a":"\u00e9"},"tags":["x"],"importance":0.1,"searchable":true}"#
        );
    }
}
