//! The one rule of what is live: neither deleted nor expired. Nothing else is served, searched or embedded.

/// SQL of a condition: `$row`, an entry or a version, is live.
macro_rules! live {
    ($row:literal) => {
        concat!(
            $row,
            ".deleted_at IS NULL AND (",
            $row,
            ".expires_at IS NULL OR ",
            $row,
            ".expires_at > now())"
        )
    };
}
