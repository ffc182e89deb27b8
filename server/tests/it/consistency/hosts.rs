//! A URL with several hosts, one of which is silent, vanishes, or is left while connections to it stay open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentfs_server::store::StoreError;
use agentfs_server::store::connection::address::{DatabaseAddress, Link};
use agentfs_server::store::connection::pool::Pool;
use reqwest::Url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::database::{Database, session};
use crate::support::eventually::eventually;
use crate::support::proxy::Proxy;

/// Whoever takes longer waits for ever.
const HANG: Duration = Duration::from_mins(1);

/// What a host does with connections.
#[derive(Clone, Copy)]
enum Manner {
    /// Closes them.
    Closes,
    /// Never says a word.
    IsSilent,
    /// Takes the login, then says nothing more.
    FallsSilent,
}

/// A host without PostgreSQL.
struct Host {
    port: u16,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Host {
    async fn that(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::<AtomicUsize>::default();
        let counted = connections.clone();
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                match manner {
                    Manner::Closes => continue,
                    Manner::IsSilent => {}
                    Manner::FallsSilent => take_login(&mut stream).await,
                }
                open.push(stream);
            }
        });
        Self { port, connections, task }
    }

    fn url(&self) -> String {
        format!("postgres://127.0.0.1:{}", self.port)
    }
}

/// Answers what PostgreSQL would to the first messages, each of which begins with its length.
async fn take_login(stream: &mut TcpStream) {
    const TLS: u32 = 80_877_103;
    loop {
        let length = stream.read_u32().await.unwrap();
        let mut message = vec![0; length as usize - 4];
        stream.read_exact(&mut message).await.unwrap();
        if message == TLS.to_be_bytes() {
            stream.write_all(b"N").await.unwrap();
        } else {
            let (authenticated, ready) = (b"R\0\0\0\x08\0\0\0\0", b"Z\0\0\0\x05I");
            stream.write_all(&[&authenticated[..], ready].concat()).await.unwrap();
            return;
        }
    }
}

/// The address of a database on several ports.
fn address(database: &Database, ports: [u16; 2], session: &str) -> DatabaseAddress {
    let url = Url::parse(&database.url).unwrap();
    let [first, second] = ports;
    let url = format!(
        "postgres://{}:{}@127.0.0.1:{first},127.0.0.1:{second}{}?target_session_attrs={session}",
        url.username(),
        url.password().unwrap(),
        url.path()
    );
    DatabaseAddress::parse(&url.into()).unwrap()
}

fn port(url: &str) -> u16 {
    Url::parse(url).unwrap().port().unwrap()
}

async fn pooled_session(pool: Pool) -> Result<i32, StoreError> {
    let asked = sqlx::query_scalar("SELECT pg_backend_pid()");
    asked.fetch_one(&pool).await.map_err(Into::into)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_falls_silent_after_the_login_is_passed_over() {
    let database = Database::empty().await;
    let silent = Host::that(Manner::FallsSilent).await;
    let address = address(&database, [silent.port, port(&database.url)], "read-write");
    timeout(HANG, address.connect_unlimited()).await.expect("no hang").unwrap();
    assert_eq!(silent.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_that_was_found_last_is_the_first_to_be_tried() {
    let database = Database::empty().await;
    let closed = Host::that(Manner::Closes).await;
    let address = address(&database, [closed.port, port(&database.url)], "any");
    let mut link = Link::new(address);
    let first = session(&mut link).await;
    let tried = closed.connections.load(Ordering::Relaxed);
    assert!(tried > 0);
    link.renew_all();
    assert_ne!(session(&mut link).await, first);
    assert_eq!(closed.connections.load(Ordering::Relaxed), tried);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_a_host_leave_it_where_another_one_is_found() {
    let database = Database::empty().await;
    let proxy = Proxy::before(&database.url).await;
    let ports = [port(&proxy.url(&database.url)), port(&database.url)];
    let address = address(&database, ports, "any");
    let (mut link, pool) = (Link::new(address.clone()), address.pool(1));
    let linked = session(&mut link).await;
    let pooled = pooled_session(pool.clone()).await.unwrap();
    // What there is stays open, and new connections find nobody.
    proxy.lead_to(&Host::that(Manner::Closes).await.url());
    address.connect_unlimited().await.unwrap();
    assert_ne!(session(&mut link).await, linked);
    assert_ne!(pooled_session(pool).await.unwrap(), pooled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_vanishes_is_left_within_a_requests_time() {
    let database = Database::empty().await;
    let proxy = Proxy::before(&database.url).await;
    let ports = [port(&proxy.url(&database.url)), port(&database.url)];
    let address = address(&database, ports, "any");
    let pool = address.pool(1);
    let before = pooled_session(pool.clone()).await.unwrap();
    eventually("it is back", async || pool.num_idle(), |idle| *idle == 1).await;
    let silent = Host::that(Manner::IsSilent).await;
    proxy.lead_to(&silent.url());
    proxy.swallow().await;
    // Longer than a connection may be idle without being asked whether it is there.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let after = pool.retrying(pooled_session).await.unwrap();
    assert_ne!(after, before);
}
