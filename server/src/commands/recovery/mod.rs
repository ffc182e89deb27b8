//! Backups by command: the arguments, and what is printed.

mod abandoned;
pub mod backup;
pub mod backups;
pub mod catalog;
pub mod drill;
mod followed;
pub mod forget;
mod recorded;
mod requested;
pub mod restore;
mod retention;
mod running;
pub mod scratch_serve;
mod sync;
pub mod verify;

use std::future::pending;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use agentfs_contract::setting::{BACKUP_IDENTITY_FILE, BACKUP_LOCATION, REQUEST};
use jiff::SignedDuration;

use crate::commands::listening::warn_of_unknown_settings;
use crate::recovery::{Location, RecoveryError};
use crate::runtime::logging;
use crate::runtime::signals::shutdown;
use crate::settings::setting;

/// Has what is logged go beside the output, and names variables that look like settings and are none.
fn start_logging() -> Result<(), String> {
    logging::start_beside_output()?;
    warn_of_unknown_settings();
    Ok(())
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

/// Parses a duration with its unit, as people give it: 2 may mean seconds, hours or days. A resource says in its definition that a
/// number is of seconds, and 0 is 0.
fn duration_with_unit(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Ok(given)
            if !given.is_zero() && text.parse::<u64>().is_ok() && setting(REQUEST).is_none() =>
        {
            Err(format!("give it with its unit, such as {text}s, {text}m, {text}h or {text}d"))
        }
        parsed => parsed,
    }
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

/// Parses a size as PostgreSQL writes them, such as 512MB: bytes.
fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u32); 4] = [("kB", 10), ("MB", 20), ("GB", 30), ("TB", 40)];
    let wrong = || {
        "give a size with its unit, kB, MB, GB or TB as PostgreSQL writes them, such as 512MB or 2GB".to_owned()
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let (_, shift) = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match number.checked_mul(1 << shift) {
        Some(0) | None => Err(wrong()),
        Some(bytes) => Ok(bytes),
    }
}

/// Parses a maintenance_work_mem, and writes it so that every PostgreSQL takes it.
fn memory(text: &str) -> Result<String, String> {
    const BOUNDS: RangeInclusive<u64> = 1024..=i32::MAX as u64;
    let kilobytes = size(text)? >> 10;
    if BOUNDS.contains(&kilobytes) {
        Ok(format!("{kilobytes}kB"))
    } else {
        Err("PostgreSQL takes from 1MB to less than 2TB, such as 512MB or 2GB".to_owned())
    }
}

/// Resolves with why a command has to end: a signal has come, or `what` has taken longer than it may. What a resource asks for is not
/// tried again then: it would take as long each time.
fn ended(
    what: &'static str,
    deadline: Option<Duration>,
) -> Result<impl Future<Output = RecoveryError> + Send, String> {
    let shutdown = shutdown()?;
    let begun = tokio::time::Instant::now();
    let is_final = setting(REQUEST).is_some();
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
                let seconds = deadline.unwrap_or_default().as_secs();
                RecoveryError::Deadline { what, seconds, is_final }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_postgresql_does() {
        for (text, bytes) in
            [("1kB", 1 << 10), ("50MB", 50 << 20), ("2 GB", 2 << 30), ("1TB", 1 << 40)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "lots", "50", "0MB", "-1MB", "1.5GB", "50mb", "1PB", "99999999999TB"] {
            assert!(size(text).unwrap_err().contains("such as 512MB or 2GB"), "{text}");
        }
        assert_eq!(memory("2GB").as_deref(), Ok("2097152kB"));
        for text in ["lots", "1kB", "2TB"] {
            assert!(memory(text).unwrap_err().contains("such as 512MB or 2GB"), "{text}");
        }
    }

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
        for (text, seconds) in [("0", 0), ("90s", 90), ("2d", 172_800)] {
            assert_eq!(duration_with_unit(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        let refused = duration_with_unit("2").unwrap_err();
        assert_eq!(refused, "give it with its unit, such as 2s, 2m, 2h or 2d");
    }
}
