//! Extracts the text of a value that is embedded: its words, without the punctuation of JSON.

use crate::domain::memory::value::end_of_string;

/// Extracts the words of a value in normal form: of a string its text, of anything else every key and scalar, one member
/// or element a line. Stops after `max_bytes`, at the end of a character.
pub fn of_value(json: &str, max_bytes: usize) -> String {
    let mut text = String::new();
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        if text.len() > max_bytes {
            break;
        }
        let length = match first {
            '"' => end_of_string(&rest[1..]).map_or(rest.len(), |end| end + 2),
            '{' | '}' | '[' | ']' | ':' | ',' => 1,
            _ => rest.find(['{', '}', '[', ']', ':', ',', '"']).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        match first {
            '"' => text.push_str(&serde_json::from_str::<String>(token).unwrap_or_default()),
            ':' => text.push_str(": "),
            ',' => text.push('\n'),
            '{' | '}' | '[' | ']' => {}
            _ => text.push_str(token.trim()),
        }
        rest = after;
    }
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_embedded_as_it_is_and_the_rest_as_its_words() {
        let words = |json| of_value(json, 1000);
        assert_eq!(words(r#""Ada said \"no\",\nthen {left}""#), "Ada said \"no\",\nthen {left}");
        assert_eq!(
            words(r#"{"title":"Lunch","likes":["rice",3.50,true],"at":{"place":null}}"#),
            "title: Lunch\nlikes: rice\n3.50\ntrue\nat: place: null"
        );
        assert_eq!(words("1e400"), "1e400");
        assert_eq!(words("{}"), "");
    }

    #[test]
    fn it_is_cut_at_a_characters_end() {
        assert_eq!(of_value(r#""äää""#, 3), "ä");
        assert_eq!(of_value(r#"["a","b","c"]"#, 2), "a\n");
    }
}
