//! Canonical form of JSON: one text for all spellings of a value, with members sorted by key and minimal
//! escapes. Numbers stay as written: `1` and `1.0` are two values to those who read tokens.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::value::JsonText;

impl JsonText {
    /// The value in canonical form.
    pub fn canonical(&self) -> String {
        let mut out = String::with_capacity(self.as_str().len());
        write(self.as_str(), &mut out);
        out
    }
}

/// Appends `json`, which is valid since a [`JsonText`] is.
fn write(json: &str, out: &mut String) {
    match json.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> =
                serde_json::from_str(json).unwrap_or_default();
            let mut open = '{';
            for (key, value) in &members {
                out.push(open);
                open = ',';
                string(key, out);
                out.push(':');
                write(value.get(), out);
            }
            out.push_str(if open == '{' { "{}" } else { "}" });
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
            let mut open = '[';
            for item in &items {
                out.push(open);
                open = ',';
                write(item.get(), out);
            }
            out.push_str(if open == '[' { "[]" } else { "]" });
        }
        Some(b'"') => {
            string(&serde_json::from_str::<String>(json).unwrap_or_default(), out);
        }
        _ => out.push_str(json),
    }
}

fn string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_sorted_and_escapes_are_undone() {
        let canonical = |text: &str| {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            JsonText::normalise(&raw).unwrap().canonical()
        };
        assert_eq!(
            canonical(r#"{"b":[1.0,{"z":"\u0041\/","y":{}}],"a":[],"\u0001":-0}"#),
            r#"{"\u0001":-0,"a":[],"b":[1.0,{"y":{},"z":"A/"}]}"#
        );
        assert_eq!(canonical(r#""\ud83d\ude00\n""#), "\"😀\\n\"");
    }
}
