//! Access to the database: where it is, which Secret has its URL, directly or through the connection pool.

use super::url::DatabaseUrl;
use crate::kit::digest::hash;

/// How clients reach the database.
#[derive(Clone, Debug)]
pub struct Access {
    /// The Secret that holds the URL.
    pub secret: String,
    /// The entry of the Secret that holds the URL.
    pub key: String,
    /// The URL, taken apart.
    pub url: DatabaseUrl,
    /// Which database it is, whatever the password: another identity is other data.
    pub identity: String,
    /// Who signs the database's certificate, where the spec says so.
    pub authority: Option<Authority>,
    /// A hash that changes with anything that a client must know.
    pub hash: String,
}

/// The entry of a Secret with the certificates of who may sign the database's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The Secret.
    pub secret: String,
    /// Its entry.
    pub key: String,
}

/// The way by which the API reaches the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseRoute {
    /// The Secret that holds the URL.
    pub secret: String,
    /// The entry of the Secret that holds the URL.
    pub key: String,
    /// Who signs the certificate of what is at the other end, where the spec says so.
    pub authority: Option<Authority>,
    /// A hash that changes with anything that the API must know.
    pub hash: String,
    /// A hash that changes when it is another database, or the way to it is another.
    pub fingerprint: String,
}

/// The fingerprints of the ways to the database `identity`: the direct one, and that through the connection pool.
pub fn fingerprints(identity: &str) -> [String; 2] {
    ["direct", "pooler"].map(|way| hash([identity, way]))
}
