//! The field `as_of`: the moment of the past that a read looks at.

use jiff::Timestamp;

use crate::domain::rfc3339;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::store::entries::as_of::now;

/// The moment that a request gives, which must have come by the database's clock; none is now.
pub(crate) async fn past_moment(
    app: &App,
    given: Option<&str>,
) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = given else { return Ok(None) };
    let moment = parse(text)?;
    let now = now(&app.pool).await?;
    if moment > now {
        let sentence = format!(
            "as_of is {}, which is still to come; give a moment up to now, {}",
            rfc3339(moment),
            rfc3339(now)
        );
        return Err(ApiError::new(Code::ValidationError, sentence));
    }
    Ok(Some(moment))
}

/// The microsecond that a moment lies in, which is as finely as versions are dated. There is nothing before 1970, and
/// PostgreSQL knows no moment before 4713 BC.
fn parse(text: &str) -> Result<Timestamp, ApiError> {
    text.parse()
        .ok()
        .map(|moment: Timestamp| moment.max(Timestamp::UNIX_EPOCH))
        .and_then(|moment| Timestamp::from_microsecond(moment.as_microsecond()).ok())
        .ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            let sentence = format!(
                "as_of is {shown:?}; it must be a moment with its offset, such as 2026-01-31T12:00:00Z (RFC 3339)"
            );
            ApiError::new(Code::ValidationError, sentence)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_to_the_microsecond_that_they_lie_in() {
        for (text, micros) in [
            ("1970-01-01T00:00:01Z", 1_000_000),
            ("1970-01-01T02:00:00.0000019+02:00", 1),
            ("1969-12-31T23:59:59Z", 0),
            ("-009999-01-02T01:59:59Z", 0),
        ] {
            assert_eq!(parse(text).unwrap().as_microsecond(), micros, "{text}");
        }
        for text in
            ["", "now", "1970-01-01", "1970-01-01T00:00:01", "12345", "+10000-01-01T00:00:00Z"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
