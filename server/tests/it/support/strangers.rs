//! Clients without a key that keep the server waiting.

use std::net::Ipv4Addr;

use agentfs_contract::api_key;
use futures::{StreamExt as _, stream};
use secrecy::ExposeSecret as _;

use super::raw::Raw;

/// Strangers come from here, others from 127.0.0.1.
pub const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What a stranger sends and leaves at that.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    HalfHead,
    HalfAdminBody,
    MadeUpKey,
    UnreadRest,
}

impl Kind {
    pub const ALL: [Self; 4] =
        [Self::HalfHead, Self::HalfAdminBody, Self::MadeUpKey, Self::UnreadRest];

    fn bytes(self) -> String {
        match self {
            Self::HalfHead => "POST /v1/put HTTP/1.1\r\nHost: x\r\nX-Slow: ".to_owned(),
            Self::HalfAdminBody => post("/v1/admin/create-key", "Content-Length: 100\r\n"),
            Self::MadeUpKey => {
                let key = api_key::generate().whole();
                let key = key.expose_secret();
                post(
                    "/v1/put",
                    &format!("Authorization: Bearer {key}\r\nContent-Length: 100000\r\n"),
                )
            }
            Self::UnreadRest => {
                "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{".to_owned()
            }
        }
    }

    /// One stranger; `None` where it is not let in.
    pub async fn one(self, url: &str) -> Option<Raw> {
        let mut raw = Raw::connect_from(ELSEWHERE, url).await.ok()?;
        raw.send(self.bytes()).await.then_some(raw)
    }

    /// Many of them at once, who all stay.
    pub async fn many(self, number: usize, url: &str) -> Vec<Raw> {
        let strangers = stream::iter(0..number).map(|_| self.one(url)).buffer_unordered(500);
        strangers.filter_map(async |stranger| stranger).collect().await
    }
}

/// A post whose body has only begun.
fn post(route: &str, headers: &str) -> String {
    format!("POST {route} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n{{")
}
