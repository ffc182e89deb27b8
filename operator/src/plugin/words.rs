//! Moments, ages, times and numbers as people read them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// A moment, to the minute.
pub(super) fn moment(at: &Time) -> String {
    at.0.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// How long ago it was, as kubectl's column AGE says it: with one unit, or two where the first is small.
pub(super) fn age(at: &Time, now: Timestamp) -> String {
    let seconds = now.as_second() - at.0.as_second();
    let two = |first: i64, unit: char, then: i64, small: char| match then {
        0 => format!("{first}{unit}"),
        then => format!("{first}{unit}{then}{small}"),
    };
    match seconds {
        ..0 => "0s".into(),
        0..120 => format!("{seconds}s"),
        120..600 => two(seconds / MINUTE, 'm', seconds % MINUTE, 's'),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => two(seconds / HOUR, 'h', seconds % HOUR / MINUTE, 'm'),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two(seconds / DAY, 'd', seconds % DAY / HOUR, 'h'),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two(seconds / YEAR, 'y', seconds % YEAR / DAY, 'd'),
        _ => format!("{}y", seconds / YEAR),
    }
}

/// How long something took.
pub(super) fn took(milliseconds: i64) -> String {
    let milliseconds = milliseconds.unsigned_abs();
    match milliseconds {
        ..1000 => format!("{milliseconds} ms"),
        1000..10_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => elapsed(milliseconds / 1000),
    }
}

/// How long something takes already.
pub(super) fn elapsed(seconds: u64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A number with commas.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 backup`, `34 backups`.
pub(super) fn counted(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

/// The condition of that type.
pub(super) fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the condition of that type is there and True.
pub(super) fn holds(conditions: &[Condition], kind: &str) -> bool {
    condition(conditions, kind).is_some_and(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_that_of_kubectl() {
        let ages = [
            (-5, "0s"),
            (119, "119s"),
            (120, "2m"),
            (599, "9m59s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (28_799, "7h59m"),
            (172_799, "47h"),
            (172_800 + HOUR, "2d1h"),
            (8 * DAY, "8d"),
            (2 * YEAR - 1, "729d"),
            (2 * YEAR + DAY, "2y1d"),
            (8 * YEAR, "8y"),
        ];
        let then = Timestamp::from_second(1_700_000_000).unwrap();
        for (seconds, said) in ages {
            let now = Timestamp::from_second(1_700_000_000 + seconds).unwrap();
            assert_eq!(age(&Time(then), now), said, "{seconds}");
        }
    }

    #[test]
    fn times_and_numbers_are_read_at_a_glance() {
        let times = [11, 4200, 31_900, 192_000, 7_260_000].map(took);
        assert_eq!(times, ["11 ms", "4.2 s", "31 s", "3 min 12 s", "2 h 1 min"]);
        assert_eq!([0, 999, 1_048_576].map(grouped), ["0", "999", "1,048,576"]);
        assert_eq!([1, 34].map(|number| counted(number, "backup")), ["1 backup", "34 backups"]);
    }
}
