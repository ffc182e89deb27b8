//! SHA-256 of values, by which clients tell whether a value is the one that they know.

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a value's JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sha256Sum([u8; 32]);

/// A text that is no SHA-256.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("if_sha256 must be the sha256 of a get or history: 64 hexadecimal digits")]
pub struct InvalidSha256;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl Sha256Sum {
    /// That of a value.
    pub fn of(value: &str) -> Self {
        Self(Sha256::digest(value).into())
    }

    /// Reads a stored one; `None` if it has the wrong length.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Parses one in hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, InvalidSha256> {
        let mut sum = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != sum.len() || !rest.is_empty() {
            return Err(InvalidSha256);
        }
        for (byte, pair) in sum.iter_mut().zip(pairs) {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            let value = high.zip(low).map(|(high, low)| high << 4 | low);
            *byte = value.and_then(|value| u8::try_from(value).ok()).ok_or(InvalidSha256)?;
        }
        Ok(Self(sum))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// In hexadecimal digits. Every get has one, so they are not formatted one by one.
impl Serialize for Sha256Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 64];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        // ASCII by construction.
        serializer.serialize_str(str::from_utf8(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_written_and_parsed() {
        const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let sum = Sha256Sum::of("abc");
        assert_eq!(serde_json::to_value(sum).unwrap(), OF_ABC);
        assert_eq!(Sha256Sum::parse(OF_ABC), Ok(sum));
        assert_eq!(Sha256Sum::parse(&OF_ABC.to_uppercase()), Ok(sum));
        for wrong in [
            "",
            "ba78",
            &OF_ABC[1..],
            &format!("{OF_ABC}0"),
            &OF_ABC.replace('f', "g"),
            &"é".repeat(32),
        ] {
            assert_eq!(Sha256Sum::parse(wrong), Err(InvalidSha256), "{wrong}");
        }
    }
}
