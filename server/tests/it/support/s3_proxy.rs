//! What may stand between the server and its bucket: it cuts connections, is overloaded, or speaks TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What becomes of connections.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The one that carries byte N is cut there; all others are whole.
    CutAt(u64),
    /// All that carry anything are cut.
    CutAll,
    /// The first N requests are told to slow down.
    SlowDown(u64),
}

/// A proxy before a port, ended when dropped.
pub struct S3Proxy {
    port: u16,
    /// How often the fault has shown.
    shown: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for S3Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl S3Proxy {
    pub async fn before(target: u16, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (shown, carried) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let counter = shown.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (shown, carried) = (counter.clone(), carried.clone());
                tokio::spawn(async move {
                    match fault {
                        Fault::CutAt(at) => cut(client, target, at, &carried, &shown).await,
                        Fault::CutAll => cut(client, target, 0, &AtomicU64::new(0), &shown).await,
                        Fault::SlowDown(times) => slow_down(client, target, times, &shown).await,
                    }
                });
            }
        });
        Self { port, shown, task }
    }

    /// One that speaks TLS, with the certificate that it shows, in PEM.
    pub async fn of_tls(target: u16) -> (Self, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let mut server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                    copy_bidirectional(&mut client, &mut server).await.ok();
                });
            }
        });
        (Self { port, shown: Arc::default(), task }, certificate.pem())
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn tls_endpoint(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// How often the fault has shown.
    pub fn faults(&self) -> u64 {
        self.shown.load(Ordering::SeqCst)
    }
}

/// Forwards, and resets the connection that carries the byte `at` of all that clients send.
async fn cut(client: TcpStream, target: u16, at: u64, carried: &AtomicU64, shown: &AtomicU64) {
    let server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let sending = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            let before = carried.fetch_add(count as u64, Ordering::SeqCst);
            if (before..before + count as u64).contains(&at) {
                // A piece of it arrives.
                to_server.write_all(&buffer[..count / 2]).await.ok();
                from_client.as_ref().set_zero_linger().unwrap();
                shown.fetch_add(1, Ordering::SeqCst);
                return;
            }
            if to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    let answering = async { tokio::io::copy(&mut from_server, &mut to_client).await };
    tokio::select! {
        () = sending => {}
        _ = answering => {}
    }
}

/// Answers as S3 does that has too much to do, so many times, and forwards then.
async fn slow_down(mut client: TcpStream, target: u16, times: u64, shown: &AtomicU64) {
    let turn =
        shown.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n < times).then_some(n + 1));
    if turn.is_err() {
        let mut server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
        copy_bidirectional(&mut client, &mut server).await.ok();
        return;
    }
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match client.read_buf(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let body =
        "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let answer = format!(
        "HTTP/1.1 503 Slow Down\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(answer.as_bytes()).await.ok();
    // What the client still sends is read, so that it sees the answer before the end.
    client.shutdown().await.ok();
    tokio::io::copy(&mut client, &mut tokio::io::sink()).await.ok();
}
