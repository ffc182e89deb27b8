//! The form of API keys: `agfs_live_<id>.<secret>`, both parts in base64 without padding.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};

/// What every key begins with.
pub const PREFIX: &str = "agfs_live_";
/// Random bytes of a key's id.
pub const ID_BYTES: usize = 8;
/// Random bytes of a key's secret.
pub const SECRET_BYTES: usize = 32;
/// Characters of a key's id, with the prefix.
pub const ID_CHARS: usize = PREFIX.len() + chars(ID_BYTES);
/// Characters of a key's secret.
pub const SECRET_CHARS: usize = chars(SECRET_BYTES);
/// The form, for messages.
pub const FORM: &str = "agfs_live_<11 characters>.<43 characters>";

/// Characters of `bytes` bytes: 4 for 3, rounded up.
const fn chars(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// The two parts of a new key.
#[derive(Debug)]
pub struct Generated {
    /// The id, with its prefix.
    pub id: [u8; ID_CHARS],
    /// The secret.
    pub secret: SecretString,
}

/// A new random key.
pub fn generate() -> Generated {
    let (mut random, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
    rand::rng().fill_bytes(&mut random);
    rand::rng().fill_bytes(&mut secret);
    let mut id = [0; ID_CHARS];
    id[..PREFIX.len()].copy_from_slice(PREFIX.as_bytes());
    URL_SAFE_NO_PAD.encode_slice(random, &mut id[PREFIX.len()..]).ok();
    Generated { id, secret: URL_SAFE_NO_PAD.encode(secret).into() }
}

impl Generated {
    /// The whole key.
    pub fn whole(&self) -> SecretString {
        // ASCII by construction.
        whole(str::from_utf8(&self.id).unwrap_or_default(), &self.secret)
    }
}

/// A key of its two parts.
pub fn whole(id: &str, secret: &SecretString) -> SecretString {
    format!("{id}.{}", secret.expose_secret()).into()
}

/// The id, with its prefix, and the secret of a key; `None` where a part has not the length or the alphabet of a generated one.
pub fn split(key: &str) -> Option<(&str, &str)> {
    let (id, secret) = key.split_once('.')?;
    (is_id(id) && is_encoded(secret, SECRET_CHARS)).then_some((id, secret))
}

/// Whether a text has the prefix, the length and the alphabet of a key's id.
pub fn is_id(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|random| is_encoded(random, chars(ID_BYTES)))
}

fn is_encoded(text: &str, chars: usize) -> bool {
    text.len() == chars && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_has_the_form() {
        let key = generate().whole();
        let (id, secret) = split(key.expose_secret()).unwrap();
        assert!(is_id(id));
        assert_eq!((id.len(), secret.len()), (ID_CHARS, SECRET_CHARS));
        assert_ne!(key.expose_secret(), generate().whole().expose_secret());
        let form = FORM.replace("<11 characters>", &"x".repeat(11));
        let form = form.replace("<43 characters>", &"x".repeat(43));
        assert!(split(&form).is_some());
    }

    #[test]
    fn what_has_another_form_is_no_key() {
        let good = generate().whole().expose_secret().to_owned();
        for bad in
            ["", ".", "agfs_live_.", &good[1..], &good[..good.len() - 1], &good.replace('.', ":")]
        {
            assert_eq!(split(bad), None, "{bad}");
        }
        assert!(!is_id(&good));
    }
}
