//! The size of a value. PostgreSQL tells that of a `json` only by reading all of it, so a write stores it beside the value.

/// SQL of the bytes of the value of the version `$v`, or null where it has none. Versions of before schema 18, and of a program
/// that does not know the column, have no `bytes`.
macro_rules! size {
    ($v:literal) => {
        concat!(
            "CASE WHEN ",
            $v,
            ".value IS NOT NULL THEN coalesce(",
            $v,
            ".bytes, octet_length(",
            $v,
            ".value::text)) END"
        )
    };
}
pub(crate) use size;
