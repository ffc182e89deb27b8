//! The system's word for why something failed.

use std::error::Error;

/// What the last of the causes of `error` says. It holds no URL: object_store and reqwest name theirs in the outer ones.
pub fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
