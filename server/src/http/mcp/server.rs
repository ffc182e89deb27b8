//! One request of MCP: who asks, for which agent, and what the protocol's methods answer.

use std::sync::Arc;

use axum::http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, GetPromptRequestParams,
    GetPromptResponse, Implementation, JsonObject, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams,
    ReadResourceResponse, ServerCapabilities, ServerConfig, Tool as Described,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::tools::{Answer, TOOLS, Tool};
use super::{Kept, prompt, resources};
use crate::domain::TenantId;
use crate::domain::access::scope::Scope;
use crate::domain::memory::agent_id::AgentId;
use crate::domain::memory::by::By;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::extract::{Bearer, Fields, Part, Searcher};
use crate::http::middleware::observe::RequestContext as Observed;
use crate::runtime::byte_budget::{Purpose, Reservation};

const INSTRUCTIONS: &str = "AgentFS is your durable memory, with the shape of a file system: values at paths such as /notes/lunch, kept across \
    conversations. Before you answer, look up what you know with memory_search, or browse with memory_list and memory_read. Write what is worth \
    keeping with memory_write, one subject a path, and change it with memory_edit. Nothing is lost: memory_history has every earlier version.";

/// Answers one request. Clones share what they hold.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) app: App,
    bearer: Bearer,
    /// The agent of the URL.
    agent: Option<AgentId>,
    head: Arc<Parts>,
    kept: Kept,
}

impl Server {
    pub(super) fn new(
        app: App,
        bearer: Bearer,
        agent: Option<AgentId>,
        head: Parts,
        kept: Kept,
    ) -> Self {
        Self { app, bearer, agent, head: Arc::new(head), kept }
    }

    /// The tenant of the key, if that has `scope`.
    pub(super) fn may(&self, scope: Scope) -> Result<TenantId, ApiError> {
        self.bearer.with(scope).map(|caller| caller.tenant)
    }

    /// Who writes, if the key may.
    pub(super) fn may_write(&self) -> Result<By, ApiError> {
        self.may(Scope::MemoryWrite)?;
        Ok(self.bearer.by())
    }

    /// The tenant of a search, which takes a token of its rate limits.
    pub(super) async fn may_search(&self) -> Result<TenantId, ApiError> {
        let Searcher(tenant) = Searcher::admit(self.bearer, &self.head, &self.app).await?;
        Ok(tenant)
    }

    /// The agent of the URL.
    pub(super) fn bound_to(&self) -> Option<&str> {
        self.agent.as_ref().map(AgentId::as_str)
    }

    /// The agent that is meant: that of the URL, or else the one that is named.
    pub(super) fn agent(&self, named: Option<String>) -> Result<String, ApiError> {
        match (self.bound_to(), named) {
            (Some(bound), Some(named)) if named != bound => Err(invalid(format!(
                "this URL is for the agent {bound:?} alone; leave agent_id out"
            ))),
            (Some(bound), _) => Ok(bound.to_owned()),
            (None, Some(named)) => Ok(named),
            (None, None) => Err(invalid(
                "agent_id is missing: name the agent whose memory it is by the argument agent_id, or use the URL /mcp/{agent_id}, which is \
                 for one agent alone"
                    .to_owned(),
            )),
        }
    }

    /// Parses the arguments of a tool or a prompt.
    pub(super) fn arguments<T: DeserializeOwned>(
        &self,
        arguments: &JsonObject,
    ) -> Result<T, ApiError> {
        const ARGUMENTS: Part<'_> =
            Part { wrong: "the arguments are not what it takes", operation: None, others: &[] };
        let json = serde_json::to_vec(arguments).map_err(|_| ApiError::internal())?;
        Fields::of(&self.head.extensions, &self.app).parse(&json, ARGUMENTS)
    }

    /// Holds bytes of the budget until the answer is written.
    pub(super) fn hold(&self, reserved: Reservation) {
        self.kept.hold(reserved);
    }

    /// Takes `bytes` for what is made of an answer, and holds them.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<(), ApiError> {
        let owner = Some(self.bearer.0.tenant);
        self.hold(self.app.budget.reserve(owner, bytes, Purpose::Answer).await?);
        Ok(())
    }

    /// What is kept, for a write that may outlast the request.
    pub(super) fn release(&self) -> Reservation {
        self.kept.take()
    }

    /// Whether the key has all scopes of a tool.
    fn offers(&self, tool: &Tool) -> bool {
        tool.scopes.iter().all(|scope| self.bearer.0.scopes.allow(*scope))
    }

    /// Notes for log and metrics what came of a call, a read or a prompt.
    fn note(&self, name: &'static str, error: Option<Code>) {
        if let Some(observed) = self.head.extensions.get::<Observed>() {
            observed.tool(name, error);
        }
        self.app.metrics.mcp_call(name, error.map_or("ok", Code::as_str));
    }

    async fn call(&self, tool: &Tool, arguments: &JsonObject) -> Answer {
        for scope in tool.scopes {
            self.may(*scope)?;
        }
        (tool.call)(self, arguments).await
    }
}

pub(super) fn invalid(sentence: String) -> ApiError {
    ApiError::new(Code::ValidationError, sentence)
}

/// The error of a method that has no other way to tell one.
fn protocol_error(error: &ApiError) -> ErrorData {
    match error.code() {
        Code::Internal => ErrorData::internal_error(error.sentence(), None),
        Code::NotFound => ErrorData::resource_not_found(error.sentence(), None),
        _ => ErrorData::invalid_params(error.sentence(), None),
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_prompts()
            .enable_resources()
            .enable_tools()
            .build();
        let us = Implementation::new("agentfs", env!("CARGO_PKG_VERSION")).with_title("AgentFS");
        ServerConfig::new(capabilities).with_server_info(us).with_instructions(INSTRUCTIONS)
    }

    fn get_tool(&self, name: &str) -> Option<Described> {
        Tool::of(name).map(|tool| tool.described(self.agent.is_some()))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let offered = TOOLS.iter().filter(|tool| self.offers(tool));
        let tools = offered.map(|tool| tool.described(self.agent.is_some())).collect();
        Ok(ListToolsResult::with_all_items(tools))
    }

    /// What the model can mend is a result that says what is wrong, since it sees no other error.
    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = Tool::of(&request.name) else {
            let name: String = request.name.chars().take(80).collect();
            let sentence = format!("there is no tool {name:?}; tools/list names those there are");
            return Err(ErrorData::invalid_params(sentence, None));
        };
        let called = self.call(tool, &request.arguments.unwrap_or_default()).await;
        self.note(tool.name, called.as_ref().err().map(ApiError::code));
        let result = match called {
            Ok(texts) => {
                CallToolResult::success(texts.into_iter().map(ContentBlock::text).collect())
            }
            Err(error) => CallToolResult::error(vec![ContentBlock::text(error.sentence())]),
        };
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let cursor = request.and_then(|request| request.cursor);
        let listed = resources::list(self, cursor).await;
        self.note("resources/list", listed.as_ref().err().map(ApiError::code));
        listed.map_err(|error| protocol_error(&error))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(resources::templates(self))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let read = resources::read(self, &request.uri).await;
        self.note("resources/read", read.as_ref().err().map(ApiError::code));
        let data = json!({"uri": request.uri});
        read.map(Into::into)
            .map_err(|error| ErrorData { data: Some(data), ..protocol_error(&error) })
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(prompt::list(self))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let got = prompt::get(self, &request).await;
        self.note("prompts/get", got.as_ref().err().map(ApiError::code));
        got.map(Into::into).map_err(|error| protocol_error(&error))
    }
}
