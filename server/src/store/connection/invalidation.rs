//! Invalidates connections that remember tables, types or statements from before a restore: all of them are
//! replaced when one is noticed.
//!
//! A restore drops and recreates what statements were prepared for, under connections that stay open.
//! PostgreSQL replans most statements by itself; what depends on a type's id fails for as long as its
//! connection lives.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// While a type is missing, every statement with it fails alike: new connections more often than this would help nobody.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections made before this moment are not to be used.
static DEMANDED: Mutex<Option<Instant>> = Mutex::new(None);

/// Makes all present connections of this process outdated.
pub(crate) fn demand() {
    let mut demanded = DEMANDED.lock().unwrap_or_else(PoisonError::into_inner);
    if demanded.is_none_or(|at| at.elapsed() >= PAUSE) {
        *demanded = Some(Instant::now());
    }
}

/// Whether a connection of this age is outdated.
pub(crate) fn is_outdated(age: Duration) -> bool {
    let demanded = DEMANDED.lock().unwrap_or_else(PoisonError::into_inner);
    demanded.is_some_and(|at| at.elapsed() < age)
}
