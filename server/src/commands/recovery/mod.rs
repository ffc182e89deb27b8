//! Backups by command: the arguments, and what is printed.

pub mod backup;
pub mod backups;
pub mod catalog;
pub mod drill;
pub mod forget;
pub mod restore;
mod retention;
mod running;
pub mod scratch_serve;
pub mod verify;

use std::future::pending;
use std::path::PathBuf;
use std::time::Duration;

use agentfs_contract::setting::{BACKUP_IDENTITY_FILE, BACKUP_LOCATION};
use jiff::SignedDuration;

use crate::recovery::{Location, RecoveryError};
use crate::runtime::signals::shutdown;

/// A setting of the environment; empty counts as absent, since compose passes unset variables as empty.
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The location that was given by an option, or by the setting.
fn location(given: Option<&str>, option: &str) -> Result<Location, RecoveryError> {
    match given.map(str::to_owned).or_else(|| setting(BACKUP_LOCATION)) {
        Some(text) => Location::parse(&text),
        None => Err(RecoveryError::Location(format!(
            "none is given: name a folder or s3://bucket/prefix with {option}, or set {BACKUP_LOCATION}"
        ))),
    }
}

/// The file of identities that was given by an option, or by the setting.
fn identities(given: Option<&PathBuf>) -> Option<PathBuf> {
    given.cloned().or_else(|| setting(BACKUP_IDENTITY_FILE).map(PathBuf::from))
}

/// Parses a duration: seconds, or numbers with units such as 30m, 6h, 1h30m or 2d.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give seconds, or a duration such as 30m, 6h or 1h30m".to_owned();
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    // A day of a backup is 24 hours.
    let span = text.parse::<jiff::Span>().map_err(|_| wrong())?;
    let duration: SignedDuration =
        span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    duration.try_into().map_err(|_| wrong())
}

/// Resolves with why a command has to end: a signal has come, or `what` has taken longer than it may.
fn ended(
    what: &'static str,
    deadline: Option<Duration>,
) -> Result<impl Future<Output = RecoveryError> + Send, String> {
    let shutdown = shutdown()?;
    let begun = tokio::time::Instant::now();
    Ok(async move {
        let overdue = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(begun + deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = shutdown => RecoveryError::Interrupted(what),
            () = overdue => {
                RecoveryError::Deadline { what, seconds: deadline.unwrap_or_default().as_secs() }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_or_have_units() {
        for (text, seconds) in
            [("90", 90), ("0", 0), ("30m", 1800), ("6h", 21_600), ("1h30m", 5400), ("2d", 172_800)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "6 months", "-1h", "1y", "18446744073709551616"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
