//! Times and sizes as columns of `kubectl get` show them.

use jiff::SignedDuration;

/// A duration, rounded up to whole seconds, in its two largest units: `41s`, `1m20s`, `21h52m`, `3d4h`.
pub fn duration(duration: SignedDuration) -> String {
    let seconds = whole_seconds(duration);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if minutes == 0 => format!("{seconds}s"),
        () if hours == 0 => two(minutes, "m", seconds % 60, "s"),
        // Objectives are written in hours, such as 26h.
        () if days < 2 => two(hours, "h", minutes % 60, "m"),
        () => two(days, "d", hours % 24, "h"),
    }
}

/// A duration in whole seconds, rounded up; none is negative.
pub fn whole_seconds(duration: SignedDuration) -> i64 {
    let more = i64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(more).max(0)
}

/// A size in the largest unit of which it has one: `1.2Gi`, `330Mi`, `512`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let mut size = bytes as f64;
    let mut unit = "";
    for larger in UNITS {
        // What would be shown as 1024 is one of the next.
        if size < 1023.5 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    if unit.is_empty() || size >= 9.95 {
        format!("{size:.0}{unit}")
    } else {
        format!("{size:.1}{unit}")
    }
}

fn two(large: i64, of: &str, small: i64, than: &str) -> String {
    if small == 0 { format!("{large}{of}") } else { format!("{large}{of}{small}{than}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (millis, text) in [
            (0, "0s"),
            (300, "1s"),
            (41_000, "41s"),
            (57_100, "58s"),
            (60_000, "1m"),
            (80_000, "1m20s"),
            (3_599_500, "1h"),
            (78_720_000, "21h52m"),
            (93_600_000, "26h"),
            (172_800_000, "2d"),
            (273_600_000, "3d4h"),
            (-5000, "0s"),
        ] {
            assert_eq!(duration(SignedDuration::from_millis(millis)), text);
        }
    }

    #[test]
    fn sizes_have_three_digits_at_most() {
        for (bytes, text) in [
            (0, "0"),
            (512, "512"),
            (1 << 10, "1.0Ki"),
            (12_345, "12Ki"),
            (330 << 20, "330Mi"),
            ((1 << 20) - 1, "1.0Mi"),
            (1_288_490_189, "1.2Gi"),
            (u64::MAX, "16Ei"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
