//! The preconditions of puts, deletes and batches (optimistic concurrency): `if_version` and `if_sha256`.

use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;

use crate::domain::memory::change::Expected;
use crate::domain::memory::sha256::Sha256Sum;
use crate::http::error::{ApiError, Code};

/// The field `if_version`: a version, or null for "there must be none".
pub(crate) fn if_version<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Expected>, D::Error> {
    let expected = Option::<Uuid>::deserialize(deserializer).map_err(|_| {
        de::Error::custom(
            "not a version (give the version_id that get, put or history answered, or null where there must be no entry)",
        )
    })?;
    Ok(Some(expected.map_or(Expected::Absent, Expected::Version)))
}

/// The field `if_sha256`: that of a value, or null for "there must be none".
pub(crate) fn if_sha256<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Expected>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(Some(Expected::Absent));
    };
    Sha256Sum::parse(&text).map(|sum| Some(Expected::Sha256(sum))).map_err(de::Error::custom)
}

/// The one precondition of a request.
pub(crate) fn one_of(
    if_version: Option<Expected>,
    if_sha256: Option<Expected>,
) -> Result<Option<Expected>, ApiError> {
    if if_version.is_some() && if_sha256.is_some() {
        return Err(ApiError::new(
            Code::ValidationError,
            "give if_version or if_sha256, not both: a version has one value",
        ));
    }
    Ok(if_version.or(if_sha256))
}
