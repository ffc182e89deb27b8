//! Invalidates the connections of a database that remember tables, types or statements from before a restore: all of them are
//! replaced when one is noticed.
//!
//! A restore drops and recreates what statements were prepared for, under connections that stay open.
//! PostgreSQL replans most statements by itself; what depends on a type's id fails for as long as its
//! connection lives.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::error::is_outdated;

/// While a type is missing, every statement with it fails alike: new connections more often than this would help nobody.
const PAUSE: Duration = Duration::from_millis(100);

/// What the connections of one database share.
#[derive(Debug, Clone, Default)]
pub(super) struct Invalidation {
    /// Connections made before this moment are not to be used.
    demanded: Arc<Mutex<Option<Instant>>>,
}

impl Invalidation {
    /// Makes all present connections of the database outdated where an error of one of them says so.
    pub(super) fn note(&self, error: &sqlx::Error) {
        if !is_outdated(error) {
            return;
        }
        let mut demanded = self.demanded.lock().unwrap_or_else(PoisonError::into_inner);
        if demanded.is_none_or(|at| at.elapsed() >= PAUSE) {
            *demanded = Some(Instant::now());
        }
    }

    /// Whether a connection of this age is outdated.
    pub(super) fn outdates(&self, age: Duration) -> bool {
        let demanded = self.demanded.lock().unwrap_or_else(PoisonError::into_inner);
        demanded.is_some_and(|at| at.elapsed() < age)
    }
}
