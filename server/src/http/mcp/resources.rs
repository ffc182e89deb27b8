//! Entries as resources, for those clients whose users pick what a model reads: `agentfs://{agent_id}{path}`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rmcp::model::{
    ListResourceTemplatesResult, ListResourcesResult, ReadResourceResult, Resource,
    ResourceContents, ResourceTemplate,
};

use super::server::{Server, invalid};
use super::shown::text;
use crate::domain::access::scope::Scope;
use crate::http::error::{ApiError, Code};
use crate::memory::get::{GetAnswer, GetRequest};
use crate::memory::glob::GlobRequest;
use crate::runtime::cpu::compute;

const SCHEME: &str = "agentfs://";
/// Resources on a page.
const LIMIT: i64 = 100;

/// What stays as it is in a URI's segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same of a path.
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// The entries of the URL's agent, page by page; without one they are found by the template alone.
pub(super) async fn list(
    server: &Server,
    cursor: Option<String>,
) -> Result<ListResourcesResult, ApiError> {
    let (Ok(tenant), Some(agent)) = (server.may(Scope::MemoryRead), server.bound_to()) else {
        return Ok(ListResourcesResult::default());
    };
    let glob = GlobRequest {
        agent_id: agent.to_owned(),
        pattern: "/**".to_owned(),
        limit: Some(LIMIT),
        cursor,
        as_of: None,
        min_version: None,
    };
    let page = server.app.memory.glob(tenant, glob).await?;
    server.hold(page.reserved);
    let resources = page.paths.into_iter().map(|path| Resource::new(uri(agent, &path), path));
    let mut listed = ListResourcesResult::with_all_items(resources.collect());
    listed.next_cursor = page.next_cursor;
    Ok(listed)
}

/// The template of all entries that the key may read.
pub(super) fn templates(server: &Server) -> ListResourceTemplatesResult {
    if server.may(Scope::MemoryRead).is_err() {
        return ListResourceTemplatesResult::default();
    }
    let agent = server.bound_to().map_or_else(|| "{agent_id}".to_owned(), encoded);
    let template = ResourceTemplate::new(format!("{SCHEME}{agent}/{{+path}}"), "entry")
        .with_title("Memory entry")
        .with_description("The value at a path of an agent's memory: a text, or other JSON");
    ListResourceTemplatesResult::with_all_items(vec![template])
}

/// The value of an entry.
pub(super) async fn read(server: &Server, uri: &str) -> Result<ReadResourceResult, ApiError> {
    let tenant = server.may(Scope::MemoryRead)?;
    let not_ours = || {
        let sentence = "there is no such resource; they are called agentfs://AGENT/PATH, such as agentfs://ada/notes/lunch";
        ApiError::new(Code::NotFound, sentence)
    };
    let (agent, path) = parsed(uri).ok_or_else(not_ours)?;
    let agent_id = server.agent(Some(agent)).map_err(|_| {
        invalid("this URL is for another agent; read its resources at /mcp/AGENT".to_owned())
    })?;
    let get = GetRequest { agent_id, path, as_of: None, min_version: None };
    let GetAnswer { path, entry, reserved } = server.app.memory.get(tenant, get).await?;
    server.hold(reserved);
    let entry = entry.ok_or_else(|| {
        ApiError::new(Code::NotFound, format!("there is no entry at {}", path.as_str()))
    })?;
    // As a text, and as JSON in JSON, which may be twice as long.
    server.reserve(3 * entry.value.len()).await?;
    let text = compute(Some(tenant), entry.value.len(), || text(&entry.value)).await;
    let kind = if text.is_some() { "text/plain" } else { "application/json" };
    let contents = ResourceContents::text(text.unwrap_or(entry.value), uri).with_mime_type(kind);
    Ok(ReadResourceResult::new(vec![contents]))
}

fn encoded(agent: &str) -> String {
    utf8_percent_encode(agent, SEGMENT).to_string()
}

fn uri(agent: &str, path: &str) -> String {
    format!("{SCHEME}{}{}", encoded(agent), utf8_percent_encode(path, PATH))
}

/// Agent and path of a URI.
fn parsed(uri: &str) -> Option<(String, String)> {
    let rest = uri.strip_prefix(SCHEME)?;
    let (agent, path) = rest.split_at(rest.find('/')?);
    let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    Some((decoded(agent)?, decoded(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_name_any_agent_and_path() {
        for (agent, path) in [("ada", "/notes/lunch"), ("a/b%", "/é/a b?#/%2F"), ("ü", "/x")] {
            let uri = uri(agent, path);
            assert!(uri.is_ascii() && !uri.contains([' ', '?', '#']), "{uri}");
            assert_eq!(parsed(&uri), Some((agent.to_owned(), path.to_owned())));
        }
        assert_eq!(uri("ada", "/notes/lunch"), "agentfs://ada/notes/lunch");
        for none in ["file:///a", "agentfs://ada", "agentfs:/ada/x", "agentfs://ada/%ff"] {
            assert_eq!(parsed(none), None, "{none}");
        }
    }
}
