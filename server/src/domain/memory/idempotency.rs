//! Idempotency keys, by which a repeated request is recognised.

/// Longest key in characters.
pub const MAX_CHARS: usize = 128;

/// A client's key for a request and its repetitions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

/// Why a text is no idempotency key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("Idempotency-Key must be 1 to {MAX_CHARS} characters out of A-Z, a-z, 0-9, '_' and '-'")]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// Checks `text` and takes it as a key.
    pub fn parse(text: &str) -> Result<Self, InvalidIdempotencyKey> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (1..=MAX_CHARS).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidIdempotencyKey)
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// SHA-256 of a request in canonical form.
pub type RequestHash = [u8; 32];

/// A request's idempotency key, and the hash that tells repetitions from other requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The client's key.
    pub key: IdempotencyKey,
    /// The hash of the request.
    pub request_hash: RequestHash,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bounded() {
        assert!(IdempotencyKey::parse(&"aZ09_-".repeat(21)).is_ok());
        for bad in ["", "a b", "é", "a.b", &"x".repeat(129)] {
            assert_eq!(IdempotencyKey::parse(bad), Err(InvalidIdempotencyKey), "{bad}");
        }
    }
}
