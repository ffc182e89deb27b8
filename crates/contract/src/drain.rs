//! How long a server takes to end.

use std::time::Duration;

/// For requests and jobs under way after the end was announced. Pods get some more before they are killed.
pub const UNDER_WAY: Duration = Duration::from_secs(20);
