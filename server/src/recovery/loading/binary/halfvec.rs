//! Vectors of half precision.

/// Writes a vector such as `[0.5,-1]`: how many numbers, two unused bytes, and the numbers in half precision.
pub(super) fn write(field: &str, to: &mut Vec<u8>) -> Option<()> {
    let numbers = field.strip_prefix('[')?.strip_suffix(']')?;
    let at = to.len();
    to.extend_from_slice(&[0; 4]);
    let begin = to.len();
    for text in numbers.as_bytes().split(|byte| *byte == b',') {
        to.extend_from_slice(&half(number(text)?)?.to_be_bytes());
    }
    let dimensions = i16::try_from((to.len() - begin) / size_of::<u16>()).ok()?;
    to[at..at + size_of::<i16>()].copy_from_slice(&dimensions.to_be_bytes());
    Some(())
}

/// Powers of ten that double precision has exactly, as it has numbers of as many digits.
const POWERS: [f64; 15] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];

/// The number that `text` says. Nearly all the time of a conversion goes here, and `parse` takes twice as long for those of a few digits.
fn number(text: &[u8]) -> Option<f32> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let parsed = || str::from_utf8(text).ok()?.parse().ok();
    if digits.len() > POWERS.len() || !digits.first().is_some_and(u8::is_ascii_digit) {
        return parsed();
    }
    let (mut whole, mut point) = (0_u64, None);
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => whole = 10 * whole + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return parsed(),
        }
    }
    let places = point.map_or(0, |point| digits.len() - point - 1);
    let size = (whole as f64 / POWERS[places]) as f32;
    Some(if digits.len() < text.len() { -size } else { size })
}

/// The bits of a number of half precision. PostgreSQL writes no other; how one would be rounded is left to it.
fn half(number: f32) -> Option<u16> {
    // 2^-112 and 2^112: by so much the exponents of the two precisions differ.
    const DOWN: f32 = f32::from_bits((127 - 112) << 23);
    const UP: f32 = f32::from_bits((127 + 112) << 23);
    // By so many bits their fractions differ.
    const FRACTION: u32 = 23 - 10;
    const INFINITE: u32 = 0x7c00;
    let size = number.abs();
    let moved = size * DOWN;
    let bits = moved.to_bits();
    let is_half = (moved * UP).to_bits() == size.to_bits()
        && bits.trailing_zeros() >= FRACTION
        && bits >> FRACTION < INFINITE;
    let sign = u16::from(number.is_sign_negative()) << 15;
    is_half.then_some(sign | (bits >> FRACTION) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_they_are_by_the_library() {
        for text in [
            "0",
            "-0",
            "1",
            "-1.5",
            "5.",
            "65504",
            "123456.789012345",
            "12345.678901234",
            "0.1",
            "1e5",
            "-6.1e-05",
            "0.00000000000001",
            "-99999999999999",
            "999999999999999",
            "1234567890123456789",
            "+1",
            ".5",
            "inf",
            "nan",
        ] {
            let (ours, parsed) = (number(text.as_bytes()).unwrap(), text.parse::<f32>().unwrap());
            assert_eq!(ours.to_bits(), parsed.to_bits(), "{text}");
        }
        for text in ["", "-", ".", "-.", "1.2.3", "--1", "1 ", " 1", "0x1", "1,5", "e5"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }

    /// The number that bits of half precision mean.
    fn meant(half: u16) -> f32 {
        let (exponent, fraction) = ((half >> 10) & 0x1f, f32::from(half & 0x3ff));
        let size = match exponent {
            0 => fraction * 2_f32.powi(-24),
            0x1f if fraction == 0.0 => f32::INFINITY,
            0x1f => f32::NAN,
            _ => (1024.0 + fraction) * 2_f32.powi(i32::from(exponent) - 25),
        };
        if half >> 15 == 0 { size } else { -size }
    }

    #[test]
    fn each_number_of_half_precision_has_its_bits_and_no_other_number_has_any() {
        for bits in 0..=u16::MAX {
            let value = meant(bits);
            if !value.is_finite() {
                assert_eq!(half(value), None, "{bits:04x}");
                continue;
            }
            // PostgreSQL writes some as `6.1e-05`.
            for text in [format!("{value}"), format!("{value:e}")] {
                assert_eq!(number(text.as_bytes()).and_then(half), Some(bits), "{text}");
            }
            let size = value.abs().to_bits();
            for near in [size.wrapping_sub(1), size + 1, size ^ 0x1000] {
                assert_eq!(half(f32::from_bits(near).copysign(value)), None, "{near:08x}");
            }
        }
        for value in [65520.0, 65536.0, 1e30, 1e-8, 0.1, f32::MIN_POSITIVE, f32::MAX] {
            assert_eq!(half(value), None, "{value}");
        }
    }
}
