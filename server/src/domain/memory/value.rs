//! Values: any JSON, validated and normalised once on the way in and stored so that it comes out byte for
//! byte.
//!
//! A general JSON type would print numbers anew (`1.0` as `1`, `1e2` as `100`) and so change what was put;
//! here tokens are copied as they are. Whitespace between tokens is dropped; of duplicate keys the last wins.

use std::borrow::Cow;
use std::iter;
use std::ops::Range;

use serde_json::value::RawValue;

/// Deepest nesting of arrays and objects.
pub const MAX_DEPTH: usize = 128;
/// Most significant digits of a number, and the greatest exponent either way.
pub const MAX_DIGITS: usize = 400;

/// A JSON value in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(Box<str>);

/// Why JSON is refused as a value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidValue {
    /// PostgreSQL cannot hold NUL in a text.
    #[error("value contains \\u0000, which cannot be stored")]
    Nul,
    /// Half of a UTF-16 pair stands for no character.
    #[error(
        "value contains a lone surrogate (half of a \\uD800-\\uDFFF pair), which is no character"
    )]
    LoneSurrogate,
    /// Too many digits or too large an exponent.
    #[error(
        "value contains a number of more than {MAX_DIGITS} significant digits or an exponent beyond ±{MAX_DIGITS}"
    )]
    HugeNumber,
    /// Too deep.
    #[error("value is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Not JSON. A [`RawValue`] always is, so this never happens; it keeps the scanner total.
    #[error("value is not valid JSON")]
    NotJson,
}

impl JsonText {
    /// Checks and normalises a value.
    pub fn normalise(raw: &RawValue) -> Result<Self, InvalidValue> {
        let mut scanner =
            Scanner { src: raw.get(), pos: 0, out: String::with_capacity(raw.get().len()) };
        scanner.value(0)?;
        Ok(Self(scanner.out.into_boxed_str()))
    }

    /// Wraps a value that was normalised when it was stored.
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The value as JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The texts in the value, in order: strings and member names, decoded, and numbers as written.
    pub fn texts(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let mut rest = self.as_str();
        iter::from_fn(move || {
            rest = &rest[rest.find(|c: char| c == '"' || c.is_ascii_digit())?..];
            let end = match rest.strip_prefix('"') {
                Some(inside) => end_of_string(inside)? + 2,
                None => rest.find([',', ']', '}']).unwrap_or(rest.len()),
            };
            let (token, behind) = rest.split_at(end);
            rest = behind;
            // Every string was decoded once, by the one who normalised it.
            Some(if token.starts_with('"') {
                decode(token).unwrap_or_default()
            } else {
                token.into()
            })
        })
    }
}

struct Scanner<'a> {
    src: &'a str,
    pos: usize,
    out: String,
}

struct Member<'a> {
    key: Cow<'a, str>,
    /// The position of `"key":value` in the output.
    text: Range<usize>,
}

impl<'a> Scanner<'a> {
    fn value(&mut self, depth: usize) -> Result<(), InvalidValue> {
        match self.peek()? {
            b'{' | b'[' if depth >= MAX_DEPTH => Err(InvalidValue::TooDeep),
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            b't' | b'f' | b'n' => {
                self.token(u8::is_ascii_lowercase);
                Ok(())
            }
            _ => Err(InvalidValue::NotJson),
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), InvalidValue> {
        self.copy_byte();
        if self.peek()? != b']' {
            loop {
                self.value(depth)?;
                match self.peek()? {
                    b',' => self.copy_byte(),
                    b']' => break,
                    _ => return Err(InvalidValue::NotJson),
                }
            }
        }
        self.copy_byte();
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), InvalidValue> {
        let start = self.out.len();
        let mut members = Vec::new();
        self.copy_byte();
        if self.peek()? != b'}' {
            loop {
                let from = self.out.len();
                if self.peek()? != b'"' {
                    return Err(InvalidValue::NotJson);
                }
                let key = decode(self.string()?)?;
                if self.peek()? != b':' {
                    return Err(InvalidValue::NotJson);
                }
                self.copy_byte();
                self.value(depth)?;
                members.push(Member { key, text: from..self.out.len() });
                match self.peek()? {
                    b',' => self.copy_byte(),
                    b'}' => break,
                    _ => return Err(InvalidValue::NotJson),
                }
            }
        }
        self.copy_byte();
        self.keep_last_of_each(start, &members);
        Ok(())
    }

    /// Rewrites the object that begins at `start` without members that a later one of the same key replaces.
    fn keep_last_of_each(&mut self, start: usize, members: &[Member<'_>]) {
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by(|&a, &b| members[a].key.cmp(&members[b].key));
        let mut replaced: Vec<usize> = order
            .windows(2)
            .filter(|pair| members[pair[0]].key == members[pair[1]].key)
            .map(|pair| pair[0])
            .collect();
        if replaced.is_empty() {
            return;
        }
        replaced.sort_unstable();
        let kept: Vec<&str> = members
            .iter()
            .enumerate()
            .filter(|(i, _)| replaced.binary_search(i).is_err())
            .map(|(_, member)| &self.out[member.text.clone()])
            .collect();
        let object = format!("{{{}}}", kept.join(","));
        self.out.truncate(start);
        self.out.push_str(&object);
    }

    /// Copies a string token as it is and returns it with its quotes.
    fn string(&mut self) -> Result<&'a str, InvalidValue> {
        let bytes = self.src.as_bytes();
        let start = self.pos;
        let mut at = start + 1;
        loop {
            match bytes.get(at).ok_or(InvalidValue::NotJson)? {
                b'"' => break,
                b'\\' if bytes.get(at + 1) == Some(&b'u') => at = self.after_unicode_escape(at)?,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        let token = &self.src[start..=at];
        self.out.push_str(token);
        self.pos = at + 1;
        Ok(token)
    }

    /// The position after the `\uXXXX` (or the pair of them) at `at`.
    fn after_unicode_escape(&self, at: usize) -> Result<usize, InvalidValue> {
        match self.code_unit(at)? {
            0 => Err(InvalidValue::Nul),
            0xD800..=0xDBFF => match self.code_unit(at + 6) {
                Ok(0xDC00..=0xDFFF) => Ok(at + 12),
                _ => Err(InvalidValue::LoneSurrogate),
            },
            0xDC00..=0xDFFF => Err(InvalidValue::LoneSurrogate),
            _ => Ok(at + 6),
        }
    }

    fn code_unit(&self, at: usize) -> Result<u16, InvalidValue> {
        self.src
            .get(at..at + 6)
            .and_then(|escape| escape.strip_prefix("\\u"))
            .and_then(|digits| u16::from_str_radix(digits, 16).ok())
            .ok_or(InvalidValue::NotJson)
    }

    fn number(&mut self) -> Result<(), InvalidValue> {
        let token = self.token(|b| b.is_ascii_digit() || b"+-.eE".contains(b));
        let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
        let digits = mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|&b| b == b'0').count();
        let exponent = exponent.trim_start_matches(['+', '-']).trim_start_matches('0');
        let huge = exponent.len() > 3 || exponent.parse::<usize>().is_ok_and(|e| e > MAX_DIGITS);
        if huge || digits > MAX_DIGITS { Err(InvalidValue::HugeNumber) } else { Ok(()) }
    }

    /// Copies the longest run of bytes that `belongs` accepts.
    fn token(&mut self, belongs: impl Fn(&u8) -> bool) -> &'a str {
        let rest = &self.src[self.pos..];
        let len = rest.bytes().position(|b| !belongs(&b)).unwrap_or(rest.len());
        let token = &rest[..len];
        self.out.push_str(token);
        self.pos += len;
        token
    }

    fn peek(&mut self) -> Result<u8, InvalidValue> {
        let bytes = self.src.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.pos) {
            self.pos += 1;
        }
        bytes.get(self.pos).copied().ok_or(InvalidValue::NotJson)
    }

    /// Copies the byte that [`Self::peek`] saw; only used for ASCII punctuation.
    fn copy_byte(&mut self) {
        self.out.push(char::from(self.src.as_bytes()[self.pos]));
        self.pos += 1;
    }
}

/// The end of the string that `inside` is the inside of.
pub(crate) fn end_of_string(inside: &str) -> Option<usize> {
    let mut escaped = false;
    let is_end = |byte: u8| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    };
    inside.bytes().position(is_end)
}

fn decode(token: &str) -> Result<Cow<'_, str>, InvalidValue> {
    if token.contains('\\') {
        serde_json::from_str(token).map(Cow::Owned).map_err(|_| InvalidValue::NotJson)
    } else {
        Ok(Cow::Borrowed(&token[1..token.len() - 1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal(text: &str) -> Result<String, InvalidValue> {
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        JsonText::normalise(&raw).map(|v| v.as_str().to_owned())
    }

    #[test]
    fn tokens_stay_as_they_are() {
        for text in [
            "null",
            "false",
            "1.0",
            "-0",
            "1e2",
            "123456789012345678901234567890",
            r#""é\u00e9\n""#,
            "[]",
            "{}",
        ] {
            assert_eq!(normal(text).unwrap(), text);
        }
        assert_eq!(
            normal(" { \"a\" : [ 1 , 2 ] ,\n\"b\":{ } } ").unwrap(),
            r#"{"a":[1,2],"b":{}}"#
        );
    }

    #[test]
    fn of_duplicate_keys_the_last_wins() {
        assert_eq!(normal(r#"{"a":1,"b":2,"a":3}"#).unwrap(), r#"{"b":2,"a":3}"#);
        assert_eq!(normal(r#"{"a":{"x":1,"x":2},"\u0061":3}"#).unwrap(), r#"{"\u0061":3}"#);
        assert_eq!(
            normal(r#"[{"k":{"x":1,"x":[{"y":1,"y":2}]}}]"#).unwrap(),
            r#"[{"k":{"x":[{"y":2}]}}]"#
        );
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        assert_eq!(normal(r#""\u0000""#), Err(InvalidValue::Nul));
        assert_eq!(normal(r#"{"\u0000":1}"#), Err(InvalidValue::Nul));
        assert_eq!(normal(r#""\\u0000""#).unwrap(), r#""\\u0000""#);
        assert_eq!(normal(r#""\ud800""#), Err(InvalidValue::LoneSurrogate));
        assert_eq!(normal(r#""\ud800\ud800""#), Err(InvalidValue::LoneSurrogate));
        assert_eq!(normal(r#""\udc00""#), Err(InvalidValue::LoneSurrogate));
        assert_eq!(normal(r#""\ud83d\ude00""#).unwrap(), r#""\ud83d\ude00""#);
    }

    #[test]
    fn numbers_are_bounded() {
        assert_eq!(normal("1e131071"), Err(InvalidValue::HugeNumber));
        assert_eq!(normal("1e-401"), Err(InvalidValue::HugeNumber));
        assert!(normal("1E+0400").is_ok());
        assert!(normal(&format!("0.000{}", "9".repeat(400))).is_ok());
        assert_eq!(normal(&"9".repeat(401)), Err(InvalidValue::HugeNumber));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(normal(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(normal(&nested(MAX_DEPTH + 1)), Err(InvalidValue::TooDeep));
        assert_eq!(normal(&nested(100_000)), Err(InvalidValue::TooDeep));
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[^\0]{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::btree_map("[^\0]{0,6}", inner, 0..6)
                    .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_normal_form_means_the_same(value in json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let text = normal(&pretty).unwrap();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value.clone());
            prop_assert_eq!(normal(&text).unwrap(), text.clone());
            prop_assert_eq!(text, serde_json::to_string(&value).unwrap());
        }
    }
}
