//! Reads the header traceparent of W3C Trace Context.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The trace that a request is part of: its header traceparent, which is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TraceContext(HeaderValue);

impl TraceContext {
    /// That of a request with these headers; `None` without one, or with one that is not valid.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let (Some(header), None) = (all.next(), all.next()) else { return None };
        let mut fields = header.to_str().ok()?.split('-');
        let mut hex = |digits: usize| fields.next().filter(|field| is_hex(field, digits));
        let (version, trace_id, span_id) = (hex(2)?, hex(32)?, hex(16)?);
        hex(2)?;
        // Later versions may have more fields.
        let is_whole = match version {
            "ff" => false,
            "00" => fields.next().is_none(),
            _ => true,
        };
        let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
        let is_valid = is_whole && !is_zero(trace_id) && !is_zero(span_id);
        is_valid.then(|| Self(header.clone()))
    }

    /// 32 hexadecimal digits.
    pub(super) fn trace_id(&self) -> &str {
        self.field(1)
    }

    /// The caller's span, in which the request was made: 16 hexadecimal digits.
    pub(super) fn span_id(&self) -> &str {
        self.field(2)
    }

    fn field(&self, index: usize) -> &str {
        self.0.to_str().ok().and_then(|text| text.split('-').nth(index)).unwrap_or_default()
    }
}

fn is_hex(field: &str, digits: usize) -> bool {
    field.len() == digits && field.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn read(values: &[String]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        let found = TraceContext::of(&headers);
        if let Some(found) = &found {
            assert_eq!((found.trace_id(), found.span_id()), (TRACE, SPAN));
        }
        found.is_some()
    }

    #[test]
    fn valid_headers_are_read_and_no_others() {
        let valid = format!("00-{TRACE}-{SPAN}-01");
        assert!(read(std::slice::from_ref(&valid)));
        assert!(read(&[format!("cc-{TRACE}-{SPAN}-01-more")]));
        assert!(!read(&[]));
        assert!(!read(&[valid.clone(), valid.clone()]));
        for wrong in [
            "",
            "00",
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("00-{TRACE}-{SPAN}-01-more"),
            &format!("00-{TRACE}-{SPAN}"),
            &format!("00-{TRACE}-{SPAN}-1"),
            &format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            &format!("00-{}-{SPAN}-01", "0".repeat(32)),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
            &format!("00-{TRACE}0-{SPAN}-01"),
            &format!("00-{}-{SPAN}-01", "g".repeat(32)),
            &format!("{valid} "),
        ] {
            assert!(!read(&[wrong.to_owned()]), "{wrong}");
        }
    }
}
