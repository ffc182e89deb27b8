//! Durations as people read them.

/// Seconds of each unit, the longest first.
const UNITS: [(char, i64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

/// Writes whole seconds as people read them, by the two longest units: `21h52m`.
pub fn brief(seconds: i64) -> String {
    let mut rest = seconds.max(0);
    let mut text = String::new();
    let mut left = 2;
    for (name, length) in UNITS {
        let count = rest / length;
        rest %= length;
        let begun = !text.is_empty();
        if left > 0 && (count > 0 || (name == 's' && !begun)) {
            text = format!("{text}{count}{name}");
        }
        if begun || count > 0 {
            left -= 1;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_read_as_their_two_longest_units() {
        for (seconds, text) in [
            (0, "0s"),
            (58, "58s"),
            (60, "1m"),
            (61, "1m1s"),
            (3605, "1h"),
            (78_723, "21h52m"),
            (86_400, "1d"),
            (93_661, "1d2h"),
        ] {
            assert_eq!(brief(seconds), text);
        }
    }
}
