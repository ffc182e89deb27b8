//! A way to the API server that counts what a program writes over it, and can kill the program at one of its writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::{Authority, Scheme};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::sync::OnceLock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Failure;

/// When the program is killed. Writes of the Lease do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Never.
    Never,
    /// When its first write is done, before it is told so.
    AfterTheFirstWrite,
    /// When it asks for its second write, which is not passed on.
    BeforeTheSecondWrite,
}

/// The way; it ends when this is dropped.
#[derive(Debug)]
pub struct Way {
    shared: Arc<Shared>,
    url: String,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    to: Authority,
    client: Client<HttpConnector, Body>,
    cut: Cut,
    writes: AtomicUsize,
    is_cut: AtomicBool,
    program: OnceLock<Pid>,
}

impl Way {
    /// To the API server that answers at `to`, without TLS.
    pub async fn to(to: &str, cut: Cut) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            to: to.parse()?,
            client: Client::builder(TokioExecutor::new()).build_http(),
            cut,
            writes: AtomicUsize::new(0),
            is_cut: AtomicBool::new(false),
            program: OnceLock::new(),
        });
        let router = Router::new().fallback(pass).with_state(shared.clone());
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("the way to the API server ended: {error}");
            }
        });
        Ok(Self { shared, url, serving })
    }

    /// Where the program finds the API server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Names the program to kill. It must not have been waited for.
    pub fn leads(&self, program: u32) -> Result<(), Failure> {
        let program = Pid::from_raw(i32::try_from(program)?);
        self.shared.program.set(program).map_err(|_| "a way leads one program")?;
        Ok(())
    }

    /// How much the program wrote so far.
    pub fn writes(&self) -> usize {
        self.shared.writes.load(Ordering::SeqCst)
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    /// kill -9; nothing passes from now on.
    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        if let Some(program) = self.program.get()
            && let Err(error) = kill(*program, Signal::SIGKILL)
        {
            eprintln!("cannot kill process {program}: {error}");
        }
    }
}

async fn pass(State(shared): State<Arc<Shared>>, mut request: Request) -> Response {
    let is_write = request.method() != Method::GET
        && !request.uri().path().starts_with("/apis/coordination.k8s.io/");
    let count = if is_write { shared.writes.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
    if shared.cut == Cut::BeforeTheSecondWrite && count == 2 {
        shared.cut();
    }
    if shared.is_cut.load(Ordering::SeqCst) {
        return std::future::pending().await;
    }
    let mut to = request.uri().clone().into_parts();
    to.scheme = Some(Scheme::HTTP);
    to.authority = Some(shared.to.clone());
    match Uri::from_parts(to) {
        Ok(uri) => *request.uri_mut() = uri,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
    let answer = shared.client.request(request).await;
    if shared.cut == Cut::AfterTheFirstWrite && count == 1 {
        shared.cut();
        return std::future::pending().await;
    }
    match answer {
        Ok(response) => response.map(Body::new),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
