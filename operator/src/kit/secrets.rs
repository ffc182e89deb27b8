//! Entries of Secrets: how they are read, and what can be wrong with them.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

/// What is wrong with a Secret that is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// An entry is missing or empty.
    #[error("lacks the key {0}")]
    Missing(String),
    /// An entry holds what cannot be right.
    #[error("holds in its key {0} something that is not {1}")]
    Malformed(String, String),
}

/// An entry as one line of text.
pub fn text(secret: &Secret, key: &str) -> Result<String, Unusable> {
    let text = entry(secret, key)?;
    if text.chars().any(char::is_control) {
        return Err(Unusable::Malformed(
            key.to_owned(),
            "one line of text (a newline at its end is often the cause)".into(),
        ));
    }
    Ok(text)
}

/// An entry as text.
pub fn entry(secret: &Secret, key: &str) -> Result<String, Unusable> {
    let missing = || Unusable::Missing(key.to_owned());
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).ok_or_else(missing)?;
    match String::from_utf8(bytes.0.clone()) {
        Ok(text) if text.is_empty() => Err(missing()),
        Ok(text) => Ok(text),
        Err(_) => Err(Unusable::Malformed(key.to_owned(), "UTF-8 text".into())),
    }
}

/// An entry of a Secret to be.
pub fn data(key: &str, value: &str) -> (String, ByteString) {
    (key.to_owned(), ByteString(value.as_bytes().to_vec()))
}

/// A Secret with these entries, for tests.
#[cfg(test)]
pub(crate) fn secret_of(entries: &[(&str, &str)]) -> Secret {
    let entries = entries.iter().map(|(key, value)| data(key, value));
    Secret { data: Some(entries.collect()), ..Secret::default() }
}
