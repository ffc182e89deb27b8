//! What may stand between a server and its database: it forgets connections, and leads elsewhere after a failover.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Url;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The two ends of a connection that is still open and carries nothing any more.
type Swallowed = Option<(TcpStream, TcpStream)>;

/// What becomes of the connections that there are.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Reset,
    Swallow,
}

/// A TCP proxy, ended when dropped.
pub struct Proxy {
    port: u16,
    target: watch::Sender<String>,
    fate: watch::Sender<Fate>,
    connections: Arc<Mutex<Vec<JoinHandle<Swallowed>>>>,
    swallowed: Mutex<Vec<Swallowed>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Before the server of a database's URL.
    pub async fn before(url: &str) -> Self {
        Self::late(url, Duration::ZERO).await
    }

    /// The same, which takes so long to lead a new connection on.
    pub async fn late(url: &str, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (target, fate) = (watch::Sender::new(at(url)), watch::Sender::new(Fate::Reset));
        let connections = Arc::<Mutex<Vec<_>>>::default();
        let (to, ends, open) = (target.clone(), fate.clone(), connections.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let forwarding = forward(client, to.borrow().clone(), ends.subscribe());
                let forwarding = async move {
                    tokio::time::sleep(delay).await;
                    forwarding.await
                };
                open.lock().unwrap().push(tokio::spawn(forwarding));
            }
        });
        Self { port, target, fate, connections, swallowed: Mutex::default(), task }
    }

    /// The same database by way of the proxy.
    pub fn url(&self, url: &str) -> String {
        let mut url = Url::parse(url).expect("a URL");
        url.set_port(Some(self.port)).expect("a port");
        url.to_string()
    }

    /// Leads new connections to the server of another URL.
    pub fn lead_to(&self, url: &str) {
        self.target.send_replace(at(url));
    }

    /// Resets all connections, as a load balancer does with those that were idle for long.
    pub async fn reset(&self) {
        self.end(Fate::Reset).await;
    }

    /// Carries nothing more on all connections and leaves them open, as a firewall does that has forgotten them.
    pub async fn swallow(&self) {
        self.end(Fate::Swallow).await;
    }

    /// Nothing is carried any more when it returns.
    async fn end(&self, fate: Fate) {
        self.fate.send_replace(fate);
        let ending = std::mem::take(&mut *self.connections.lock().unwrap());
        for connection in ending {
            let swallowed = connection.await.expect("no panic");
            self.swallowed.lock().unwrap().push(swallowed);
        }
    }
}

fn at(url: &str) -> String {
    let url = Url::parse(url).expect("a URL");
    format!("{}:{}", url.host_str().expect("a host"), url.port().expect("a port"))
}

async fn forward(
    mut client: TcpStream,
    target: String,
    mut fate: watch::Receiver<Fate>,
) -> Swallowed {
    let mut server = TcpStream::connect(target).await.ok()?;
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => return None,
        ended = fate.changed() => ended.ok()?,
    }
    let fate = *fate.borrow();
    match fate {
        Fate::Reset => {
            client.set_zero_linger().ok()?;
            None
        }
        Fate::Swallow => Some((client, server)),
    }
}
