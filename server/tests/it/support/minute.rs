//! Tests of what is counted by the minute.

use std::time::Duration;

use jiff::Timestamp;

/// Waits until enough of the minute is left for a test within it.
pub async fn early_in_the_minute() {
    while Timestamp::now().as_second() % 60 >= 40 {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
