//! Rows from PostgreSQL's text format into its binary one, for tables with vectors, whose text takes the server far longer to read.
//!
//! Only what PostgreSQL itself writes is converted. From the first row on that is anything else, the text is passed on for the server
//! to read or to refuse.

use bytes::{Buf as _, Bytes, BytesMut};
use jiff::Timestamp;
use memchr::memchr_iter;
use uuid::Uuid;

use crate::store::in_place::rows::{CopyData, Format};

/// Most bytes of a row that is waited for as a whole: none of ours comes near, and a dump is not trusted.
const MAX_ROW: usize = 1 << 20;
/// How a row has no value.
const NULL: &str = "\\N";
/// Microseconds from 1970, from which timestamps are counted here, to 2000, from which PostgreSQL counts them.
const EPOCH: i64 = 946_684_800_000_000;

/// Converts the rows of a table.
#[derive(Debug)]
pub(super) struct Conversion {
    /// The types of a row's fields; `None` where rows are passed on as text.
    types: Option<Vec<Type>>,
    /// The beginning of a row that has not ended yet.
    begun: BytesMut,
}

impl Conversion {
    /// Passes on all rows as they are.
    pub(super) fn none() -> Self {
        Self { types: None, begun: BytesMut::new() }
    }

    /// Converts rows whose fields have types of these names, if one of them is a vector and all are known here.
    pub(super) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let types: Option<Vec<Type>> = names.into_iter().map(Type::of).collect();
        Self { types: types.filter(|types| types.contains(&Type::HalfVec)), ..Self::none() }
    }

    /// Converts what follows of the rows, which may begin and end within one.
    pub(super) fn convert(&mut self, text: Bytes) -> Vec<CopyData> {
        let Some(types) = &self.types else {
            return vec![CopyData { format: Format::Text, bytes: text }];
        };
        self.begun.extend_from_slice(&text);
        let (mut rows, mut done, mut is_known) = (Vec::new(), 0, true);
        for end in memchr_iter(b'\n', &self.begun) {
            let begin = rows.len();
            is_known = write_row(types, &self.begun[done..end], &mut rows).is_some();
            if !is_known {
                rows.truncate(begin);
                break;
            }
            done = end + 1;
        }
        self.begun.advance(done);
        let mut converted = Vec::with_capacity(2);
        if !rows.is_empty() {
            converted.push(CopyData { format: Format::Binary, bytes: rows.into() });
        }
        if !is_known || self.begun.len() > MAX_ROW {
            self.types = None;
            let bytes = self.begun.split().freeze();
            converted.push(CopyData { format: Format::Text, bytes });
        }
        converted
    }
}

/// A type whose values are converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Uuid,
    Text,
    SmallInt,
    Integer,
    TimestampTz,
    HalfVec,
}

impl Type {
    /// By its name in `pg_type`.
    fn of(name: &str) -> Option<Self> {
        match name {
            "uuid" => Some(Self::Uuid),
            "text" => Some(Self::Text),
            "int2" => Some(Self::SmallInt),
            "int4" => Some(Self::Integer),
            "timestamptz" => Some(Self::TimestampTz),
            "halfvec" => Some(Self::HalfVec),
            _ => None,
        }
    }

    /// Writes a value; `None` where PostgreSQL would not have written `field`.
    fn write(self, field: &str, to: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Uuid => to.extend_from_slice(uuid(field)?.as_bytes()),
            Self::Text => write_text(field, to)?,
            Self::SmallInt => to.extend_from_slice(&field.parse::<i16>().ok()?.to_be_bytes()),
            Self::Integer => to.extend_from_slice(&field.parse::<i32>().ok()?.to_be_bytes()),
            Self::TimestampTz => to.extend_from_slice(&microseconds(field)?.to_be_bytes()),
            Self::HalfVec => write_vector(field, to)?,
        }
        Some(())
    }
}

/// Writes a row, whose `line` comes without its end: how many fields it has, and each with its length before it.
fn write_row(types: &[Type], line: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let mut fields = str::from_utf8(line).ok()?.split('\t');
    to.extend_from_slice(&i16::try_from(types.len()).ok()?.to_be_bytes());
    for of_type in types {
        let field = fields.next()?;
        let at = to.len();
        to.extend_from_slice(&(-1_i32).to_be_bytes());
        if field != NULL {
            let begin = to.len();
            of_type.write(field, to)?;
            let length = i32::try_from(to.len() - begin).ok()?;
            to[at..begin].copy_from_slice(&length.to_be_bytes());
        }
    }
    fields.next().is_none().then_some(())
}

fn uuid(field: &str) -> Option<Uuid> {
    // Of the forms that are read, PostgreSQL writes the one of this length.
    Uuid::try_parse(field).ok().filter(|_| field.len() == 36)
}

/// Writes a text, in which some characters stand behind a backslash in place of others.
fn write_text(field: &str, to: &mut Vec<u8>) -> Option<()> {
    let mut rest = field;
    while let Some((before, behind)) = rest.split_once('\\') {
        to.extend_from_slice(before.as_bytes());
        to.push(match behind.bytes().next()? {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'\\' => b'\\',
            _ => return None,
        });
        rest = &behind[1..];
    }
    to.extend_from_slice(rest.as_bytes());
    Some(())
}

/// A moment as PostgreSQL counts it. An infinite one, and a year that is not AD or has five digits, are not among ours.
fn microseconds(field: &str) -> Option<i64> {
    let at: Timestamp = field.parse().ok()?;
    (at.subsec_nanosecond() % 1000 == 0).then(|| at.as_microsecond() - EPOCH)
}

/// Writes a vector such as `[0.5,-1]`: how many numbers, two unused bytes, and the numbers in half precision.
fn write_vector(field: &str, to: &mut Vec<u8>) -> Option<()> {
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

    const TYPES: [&str; 8] =
        ["uuid", "text", "int4", "uuid", "halfvec", "timestamptz", "int2", "text"];
    const LINE: &str = "a0000000-0000-0000-0000-000000000001\tada\t70000\tffffffff-0000-0000-0000-0000000000ff\t\
                        [0.5,-1]\t2000-01-01 00:00:01.000002+00\t-2\t\\N\n";

    /// The row of `LINE`, by the book.
    fn row() -> Vec<u8> {
        let mut row = vec![0, 8, 0, 0, 0, 16, 0xa0];
        row.extend([0; 14]);
        row.extend([1, 0, 0, 0, 3]);
        row.extend(b"ada");
        row.extend([0, 0, 0, 4, 0, 1, 0x11, 0x70, 0, 0, 0, 16, 0xff, 0xff, 0xff, 0xff]);
        row.extend([0; 11]);
        row.extend([0xff, 0, 0, 0, 8, 0, 2, 0, 0, 0x38, 0, 0xbc, 0]);
        row.extend([0, 0, 0, 8, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x42]);
        row.extend([0, 0, 0, 2, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff]);
        row
    }

    /// What becomes of rows that come in pieces of `size` bytes: those in binary format, and the text after them.
    fn converted(mut conversion: Conversion, text: &str, size: usize) -> (Vec<u8>, String) {
        let (mut binary, mut left) = (Vec::new(), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            for data in conversion.convert(Bytes::copy_from_slice(piece)) {
                assert!(!data.bytes.is_empty());
                match data.format {
                    Format::Binary => {
                        assert!(left.is_empty(), "once text, always text");
                        binary.extend(data.bytes);
                    }
                    Format::Text => left.extend(data.bytes),
                }
            }
        }
        (binary, String::from_utf8(left).unwrap())
    }

    #[test]
    fn rows_are_converted_however_they_are_cut() {
        let text = LINE.repeat(3);
        for size in [1, 7, LINE.len(), LINE.len() + 1, text.len()] {
            let found = converted(Conversion::of(TYPES), &text, size);
            assert_eq!(found, (row().repeat(3), String::new()), "{size}");
        }
    }

    #[test]
    fn from_the_first_row_on_that_is_not_known_all_is_text() {
        let line = |from: &str, to: &str| {
            assert!(LINE.contains(from), "{from}");
            LINE.replacen(from, to, 1)
        };
        for unknown in [
            line("a0000000-", "{a0000000-"),
            line("a0000000-0000-0000-0000-", "a0000000000000000000"),
            line("ada", "a\\x64a"),
            line("ada", "ada\\"),
            line("70000", "7e4"),
            line("70000", "70000000000"),
            line("-2", "40000"),
            line("[0.5,-1]", "[]"),
            line("[0.5,-1]", "[0.5, -1]"),
            line("[0.5,-1]", "[0.5,-]"),
            line("[0.5,-1]", "[0.5.5,-1]"),
            line("[0.5,-1]", "[0.5,.]"),
            line("[0.5,-1]", "0.5,-1"),
            line("[0.5,-1]", "[0.5,nan]"),
            line("[0.5,-1]", "[0.5,0.7]"),
            line("2000-01-01 00:00:01.000002+00", "infinity"),
            line("+00", ""),
            line("+00", "+00 BC"),
            line("2000-", "12000-"),
            line(".000002", ".0000021"),
            line("\\N", "a\tb"),
            line("\t\\N", ""),
            "\n".to_owned(),
        ] {
            for size in [3, 4096] {
                let text = format!("{LINE}{LINE}{unknown}{LINE}");
                let (binary, left) = converted(Conversion::of(TYPES), &text, size);
                assert_eq!((binary, left), (row().repeat(2), format!("{unknown}{LINE}")));
            }
        }
        let mut conversion = Conversion::of(TYPES);
        let bytes = Bytes::from_static(b"\xff\n");
        let text = CopyData { format: Format::Text, bytes: bytes.clone() };
        assert_eq!(conversion.convert(bytes), [text], "not in UTF-8");
    }

    #[test]
    fn a_row_without_end_is_not_waited_for() {
        let endless = "1".repeat(3 * MAX_ROW);
        let (binary, left) = converted(Conversion::of(TYPES), &endless, MAX_ROW / 2);
        assert_eq!((binary.len(), left.len()), (0, endless.len()));
    }

    #[test]
    fn tables_without_vectors_or_with_other_types_stay_text() {
        for types in [&["uuid", "text"][..], &["uuid", "json", "halfvec"], &[]] {
            let (binary, left) = converted(Conversion::of(types.iter().copied()), LINE, 9);
            assert_eq!((binary, left.as_str()), (Vec::new(), LINE), "{types:?}");
        }
        assert_eq!(converted(Conversion::none(), LINE, 9), (Vec::new(), LINE.to_owned()));
    }

    #[test]
    fn texts_are_as_they_were_before_they_were_escaped() {
        let text = |field: &str| {
            let mut text = Vec::new();
            write_text(field, &mut text).map(|()| String::from_utf8(text).unwrap())
        };
        for (field, meant) in [
            ("", ""),
            ("/ä/日", "/ä/日"),
            ("\\\\N", "\\N"),
            ("\\b\\f\\n\\r\\t\\v\\\\", "\u{8}\u{c}\n\r\t\u{b}\\"),
            ("a\\\\\\tä\\nb", "a\\\tä\nb"),
        ] {
            assert_eq!(text(field).as_deref(), Some(meant));
        }
        for field in ["\\", "\\x41", "\\101", "\\N", "a\\ä", "\\."] {
            assert_eq!(text(field), None, "{field}");
        }
    }

    #[test]
    fn moments_are_the_same_with_any_offset() {
        for (field, moment) in [
            ("2000-01-01 00:00:00+00", 0),
            ("1999-12-31 19:00:00-05", 0),
            ("2000-01-01 05:30:00+05:30", 0),
            ("1999-12-31 23:15:30-00:44:30", 0),
            ("2000-01-01 00:00:00.1+00", 100_000),
            ("1999-12-31 23:59:59.999999+00", -1),
            ("1969-12-31 23:59:59.999999+00", -EPOCH - 1),
            ("2031-02-03 04:05:06.123456+00", 981_173_106_123_456),
        ] {
            assert_eq!(microseconds(field), Some(moment), "{field}");
        }
        for field in
            ["infinity", "-infinity", "0044-03-15 12:00:00+00 BC", "12000-01-01 00:00:00+00"]
        {
            assert_eq!(microseconds(field), None, "{field}");
        }
    }

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
