//! Values as a model is shown them: the beginnings of large ones, since its context is small.

use serde_json::value::{RawValue, to_raw_value};

use crate::http::error::ApiError;

/// Most bytes of a value's JSON text that are shown among others.
pub(super) const MAX_SHOWN: usize = 4 << 10;

/// The value whose JSON text is `value`, or the beginning of it as a text, and whether that is so.
pub(super) fn shown(value: &str) -> Result<(Box<RawValue>, bool), ApiError> {
    let json = if value.len() <= MAX_SHOWN {
        RawValue::from_string(value.to_owned())
    } else {
        to_raw_value(beginning(&text(value).unwrap_or_else(|| value.to_owned())))
    };
    Ok((json.map_err(|_| ApiError::internal())?, value.len() > MAX_SHOWN))
}

/// The text that a JSON string stands for; `None` for other JSON.
pub(super) fn text(value: &str) -> Option<String> {
    value.starts_with('"').then(|| serde_json::from_str(value).ok()).flatten()
}

fn beginning(text: &str) -> &str {
    let mut end = MAX_SHOWN.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_are_shown_whole_and_large_ones_begun() {
        let (value, is_cut) = shown("[1.0,1e2]").unwrap();
        assert_eq!((value.get(), is_cut), ("[1.0,1e2]", false));
        let large = serde_json::to_string(&"é\n".repeat(MAX_SHOWN)).unwrap();
        let (value, is_cut) = shown(&large).unwrap();
        let text: String = serde_json::from_str(value.get()).unwrap();
        assert!(is_cut && text.starts_with("é\né") && text.len() <= MAX_SHOWN);
        let (value, _) = shown(&format!("[{large}]")).unwrap();
        assert!(value.get().starts_with(r#""[\"é\\n"#), "{}", value.get());
    }

    #[test]
    fn texts_are_told_from_other_json() {
        assert_eq!(text(r#""a\nb""#).as_deref(), Some("a\nb"));
        assert_eq!(text("null"), None);
        assert_eq!(text(r#"["a"]"#), None);
    }
}
