//! The log line of an answered request.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::StatusCode;

use super::trace_context::TraceContext;
use crate::domain::TenantId;
use crate::domain::access::api_key::KeyId;
use crate::http::error::Code;
use crate::runtime::logging;

/// An answered request.
pub(super) struct Answered<'a> {
    pub(super) request_id: &'a str,
    pub(super) trace: Option<&'a TraceContext>,
    pub(super) tenant: Option<TenantId>,
    pub(super) key: Option<KeyId>,
    pub(super) client: IpAddr,
    pub(super) route: &'a str,
    /// The tool of MCP.
    pub(super) tool: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) status: StatusCode,
    /// The code of an error.
    pub(super) code: Option<Code>,
    pub(super) took: Duration,
}

impl Answered<'_> {
    /// Writes its line.
    pub(super) fn log(&self) {
        logging::request(|line| {
            line.field("request_id", self.request_id);
            if let Some(trace) = self.trace {
                line.field("trace_id", trace.trace_id());
                line.field("span_id", trace.span_id());
            }
            if let Some(tenant) = self.tenant {
                line.displayed("tenant", &tenant);
            }
            if let Some(key) = &self.key {
                line.field("key", key.as_str());
            }
            line.displayed("client", &self.client);
            line.field("route", self.route);
            if let Some(tool) = self.tool {
                line.field("tool", tool);
            }
            line.field("method", self.method);
            line.field("status", &self.status.as_u16());
            if let Some(code) = self.code {
                line.field("code", code.as_str());
            }
            let microseconds = (self.took.as_secs_f64() * 1_000_000.0).round();
            line.field("responseTime", &(microseconds / 1000.0));
        });
    }
}
