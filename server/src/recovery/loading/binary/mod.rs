//! Rows from PostgreSQL's text format into its binary one, for tables with vectors or words, whose text takes the server far longer to read.
//!
//! Only what PostgreSQL itself writes is converted. From the first row on that is anything else, the text is passed on for the server
//! to read or to refuse.

mod halfvec;
mod tsvector;

use std::borrow::Cow;

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

    /// Converts rows whose fields have types of these names, if it pays for one of them and all are known here.
    pub(super) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let types: Option<Vec<Type>> = names.into_iter().map(Type::of).collect();
        Self { types: types.filter(|types| types.iter().any(|of| of.pays())), ..Self::none() }
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
    TsVector,
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
            "tsvector" => Some(Self::TsVector),
            _ => None,
        }
    }

    /// Whether the server takes far longer to read it as text.
    fn pays(self) -> bool {
        matches!(self, Self::HalfVec | Self::TsVector)
    }

    /// Writes a value; `None` where PostgreSQL would not have written `field`.
    fn write(self, field: &str, to: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Uuid => to.extend_from_slice(uuid(field)?.as_bytes()),
            Self::Text => to.extend_from_slice(unescaped(field)?.as_bytes()),
            Self::SmallInt => to.extend_from_slice(&field.parse::<i16>().ok()?.to_be_bytes()),
            Self::Integer => to.extend_from_slice(&field.parse::<i32>().ok()?.to_be_bytes()),
            Self::TimestampTz => to.extend_from_slice(&microseconds(field)?.to_be_bytes()),
            Self::HalfVec => halfvec::write(field, to)?,
            Self::TsVector => tsvector::write(&unescaped(field)?, to)?,
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

/// A field as it was before some characters were escaped: they stand behind a backslash.
fn unescaped(field: &str) -> Option<Cow<'_, str>> {
    if !field.contains('\\') {
        return Some(Cow::Borrowed(field));
    }
    let (mut rest, mut text) = (field, String::with_capacity(field.len()));
    while let Some((before, behind)) = rest.split_once('\\') {
        text.push_str(before);
        text.push(match behind.bytes().next()? {
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'v' => '\x0b',
            b'\\' => '\\',
            _ => return None,
        });
        rest = &behind[1..];
    }
    text.push_str(rest);
    Some(Cow::Owned(text))
}

/// A moment as PostgreSQL counts it. An infinite one, and a year that is not AD or has five digits, are not among ours.
fn microseconds(field: &str) -> Option<i64> {
    let at: Timestamp = field.parse().ok()?;
    (at.subsec_nanosecond() % 1000 == 0).then(|| at.as_microsecond() - EPOCH)
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
    fn words_are_converted_once_they_are_as_before_they_were_escaped() {
        let text = "\\\\a\t'a\\\\\\\\b':1\n";
        let row =
            [&[0, 2, 0, 0, 0, 2][..], b"\\a", &[0, 0, 0, 12, 0, 0, 0, 1], b"a\\b\0", &[0, 1, 0, 1]];
        assert_eq!(
            converted(Conversion::of(["text", "tsvector"]), text, 5),
            (row.concat(), String::new())
        );
    }

    #[test]
    fn tables_without_vectors_and_words_or_with_other_types_stay_text() {
        for types in [&["uuid", "text"][..], &["uuid", "json", "halfvec"], &[]] {
            let (binary, left) = converted(Conversion::of(types.iter().copied()), LINE, 9);
            assert_eq!((binary, left.as_str()), (Vec::new(), LINE), "{types:?}");
        }
        assert_eq!(converted(Conversion::none(), LINE, 9), (Vec::new(), LINE.to_owned()));
    }

    #[test]
    fn texts_are_as_they_were_before_they_were_escaped() {
        for (field, meant) in [
            ("", ""),
            ("/ä/日", "/ä/日"),
            ("\\\\N", "\\N"),
            ("\\b\\f\\n\\r\\t\\v\\\\", "\u{8}\u{c}\n\r\t\u{b}\\"),
            ("a\\\\\\tä\\nb", "a\\\tä\nb"),
        ] {
            assert_eq!(unescaped(field).as_deref(), Some(meant));
        }
        for field in ["\\", "\\x41", "\\101", "\\N", "a\\ä", "\\."] {
            assert_eq!(unescaped(field), None, "{field}");
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
}
