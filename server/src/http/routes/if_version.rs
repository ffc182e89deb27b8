//! The precondition `if_version` of puts, deletes and batches (optimistic concurrency).

use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::domain::memory::change::Expected;

/// The field `if_version`: a version, or null for "there must be none".
pub(crate) fn if_version<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Expected>, D::Error> {
    let expected = Option::<Uuid>::deserialize(deserializer)?;
    Ok(Some(expected.map_or(Expected::Absent, Expected::Version)))
}
