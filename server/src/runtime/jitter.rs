//! Jitter for waits, so that what started together does not act together.

use std::time::Duration;

/// A random duration between half of `mean` and one and a half of it.
pub(crate) fn jittered(mean: Duration) -> Duration {
    mean.mul_f64(rand::random_range(0.5..1.5))
}
