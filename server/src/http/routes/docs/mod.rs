//! GET /docs: a page that shows the description of the API, with nothing from elsewhere.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::HeaderName;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page, one text for all.
static PAGE: LazyLock<Bytes> = LazyLock::new(|| {
    let page = include_str!("page.html").replace("{style}", STYLE).replace("{script}", SCRIPT);
    page.into()
});

/// What a browser may do for the page: nothing but what is in it, and a look at this server's description.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (style, script) = (digest(STYLE), digest(SCRIPT));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

pub(crate) async fn docs() -> impl IntoResponse {
    let headers: [(HeaderName, &str); 3] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, PAGE.clone())
}

fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}
