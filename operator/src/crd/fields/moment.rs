//! Moments.

use schemars::{Schema, SchemaGenerator, json_schema};

/// The schema of a moment.
pub(in crate::crd) fn date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}
