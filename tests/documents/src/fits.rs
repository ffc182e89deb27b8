//! Whether what was printed is what a document says.

use serde_json::Value;

/// Whether `got` is what `expected` stands for: as JSON where both are, else as text.
pub(crate) fn fits(expected: &str, got: &str) -> bool {
    match (serde_json::from_str(expected), serde_json::from_str(got)) {
        (Ok(expected), Ok(got)) => fits_json(&expected, &got),
        _ => fits_text(expected, got),
    }
}

/// Texts may end in `…`.
fn fits_json(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::String(expected), Value::String(got)) => {
            expected == got
                || expected.strip_suffix('…').is_some_and(|start| got.starts_with(start))
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(e, g)| fits_json(e, g))
        }
        (Value::Object(expected), Value::Object(got)) => {
            expected.len() == got.len()
                && expected.iter().all(|(key, e)| got.get(key).is_some_and(|g| fits_json(e, g)))
        }
        _ => expected == got,
    }
}

/// Each `…` stands for anything, lines included.
fn fits_text(expected: &str, got: &str) -> bool {
    let mut pieces = expected.split('…');
    let Some(mut rest) = got.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn dots_in_json_stand_for_any_ending_and_nothing_else() {
        assert!(fits(r#"{"a":["0199…",null]}"#, r#"{"a":["0199abc",null]}"#));
        for other in
            [r#"{"a":["0188abc",null]}"#, r#"{"a":["0199abc"]}"#, r#"{"a":[],"b":1}"#, "{}"]
        {
            assert!(!fits(r#"{"a":["0199…",null]}"#, other), "{other}");
        }
    }

    #[test]
    fn dots_in_text_stand_for_anything() {
        for (expected, got) in [
            ("", ""),
            ("t", "t"),
            ("…", ""),
            ("…", "a\nb"),
            ("a…b…c", "a 1 b 2 c"),
            ("entries|…\nagents|…", "entries|12\nagents|3"),
        ] {
            assert!(fits(expected, got), "{expected} {got}");
        }
        for (expected, got) in
            [("", "x"), ("t", "t\nt"), ("a…b", "a"), ("a…c", "a c d"), ("ab…b", "ab")]
        {
            assert!(!fits(expected, got), "{expected} {got}");
        }
    }
}
