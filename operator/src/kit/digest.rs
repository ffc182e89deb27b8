//! Short hashes of texts.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// A short hash of texts, hexadecimal. Each is preceded by its length, so that no two lists of texts
/// run together.
pub fn hash<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update(text.len().to_be_bytes());
        digest.update(text.as_bytes());
    }
    let mut hex = String::with_capacity(32);
    for byte in digest.finalize().iter().take(16) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
