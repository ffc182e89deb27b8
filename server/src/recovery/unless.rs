//! Work that ends early.

use std::pin::Pin;

use super::error::RecoveryError;

/// Does the work unless `stop` resolves before its end.
pub(super) async fn unless<T>(
    stop: &mut Pin<&mut impl Future<Output = RecoveryError>>,
    work: impl Future<Output = Result<T, RecoveryError>>,
) -> Result<T, RecoveryError> {
    tokio::select! {
        done = work => done,
        error = stop => Err(error),
    }
}
