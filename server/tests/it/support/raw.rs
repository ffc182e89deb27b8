//! HTTP by hand, for what no well-behaved client does.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::api::Client;

/// Whoever waits longer than this hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection on which bytes are sent as they are.
pub struct Raw {
    pub stream: TcpStream,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The head in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }

    /// The code of the error envelope.
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Raw {
    pub async fn connect(url: &str) -> Self {
        let address = url.strip_prefix("http://").unwrap();
        Self { stream: TcpStream::connect(address).await.unwrap() }
    }

    /// From another address of this machine. When it is dropped the connection is reset, so that thousands leave no port
    /// in use behind them.
    pub async fn connect_from(from: Ipv4Addr, url: &str) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_zero_linger()?;
        socket.bind((from, 0).into())?;
        let address = url.strip_prefix("http://").unwrap().parse().unwrap();
        Ok(Self { stream: socket.connect(address).await? })
    }

    /// Sends what the server takes; false when it has closed the connection.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await.expect("takes it").is_ok()
    }

    /// The next answer; `None` when the connection has ended instead.
    pub async fn answer(&mut self) -> Option<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.byte().await?);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        let read = timeout(PATIENCE, self.stream.read_exact(&mut body)).await;
        read.expect("an answer, not a hang").ok()?;
        Some(Answer { status, head, body })
    }

    /// Waits until the server has closed the connection, with or without more bytes.
    pub async fn closed(&mut self) {
        while self.byte().await.is_some() {}
    }

    async fn byte(&mut self) -> Option<u8> {
        timeout(PATIENCE, self.stream.read_u8()).await.expect("an answer, not a hang").ok()
    }
}

/// The head of a post with `client`'s key and more headers, each with its line's end.
pub fn head(client: &Client, route: &str, headers: &str) -> String {
    format!(
        "POST {route} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n{headers}\r\n",
        client.key
    )
}

/// A whole post.
pub fn post(client: &Client, route: &str, body: &str) -> String {
    head(client, route, &format!("Content-Length: {}\r\n", body.len())) + body
}
