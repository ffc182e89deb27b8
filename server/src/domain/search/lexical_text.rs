//! Tokenises values and queries for full text search. PostgreSQL's parser is not used for that: it depends on
//! the database's locale and takes a sentence without spaces for one word.

use std::collections::HashSet;
use std::iter;

use crate::domain::memory::value::JsonText;

/// Most bytes of indexed text of one value; the rest is not found. PostgreSQL refuses documents of more than 1 MiB, and
/// words take at most about twice their bytes there.
pub const MAX_BYTES: usize = 64 << 10;
/// Most different words of one query; the rest is ignored.
pub const MAX_OF_QUERY: usize = 64;
/// Longest word in characters; the rest of it is ignored.
const MAX_CHARS: usize = 128;

/// Lower-case words of letters and digits alone, separated by single spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LexicalText(String);

impl LexicalText {
    /// The words of a value: its strings, member names and numbers, in order.
    pub fn of_value(value: &JsonText) -> Self {
        let mut words = Self(String::new());
        for text in value.texts() {
            for word in each(&text) {
                let before = words.0.len();
                if words.push(word) + before >= MAX_BYTES {
                    words.0.truncate(before);
                    return words;
                }
            }
        }
        words
    }

    /// The different words of a query.
    pub fn of_query(query: &str) -> Self {
        let mut seen = HashSet::new();
        let mut words = Self(String::new());
        for word in each(query).filter(|word| seen.insert(lower_case(word))).take(MAX_OF_QUERY) {
            words.push(word);
        }
        words
    }

    /// The words as a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds a word in lower case and returns its bytes.
    fn push(&mut self, word: &str) -> usize {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        let begin = self.0.len();
        push_lower_case(&mut self.0, word);
        self.0.len() - begin
    }
}

fn each(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).flat_map(pieces)
}

fn lower_case(word: &str) -> String {
    let mut text = String::new();
    push_lower_case(&mut text, word);
    text
}

fn push_lower_case(text: &mut String, word: &str) {
    if word.is_ascii() {
        let begin = text.len();
        text.push_str(&word[..word.len().min(MAX_CHARS)]);
        text[begin..].make_ascii_lowercase();
    } else {
        text.extend(word.chars().take(MAX_CHARS).flat_map(char::to_lowercase));
    }
}

/// Splits a run of letters and digits: into one word, or for scripts without spaces into single characters.
fn pieces(mut run: &str) -> impl Iterator<Item = &str> {
    iter::from_fn(move || {
        let first = run.chars().next()?;
        let end = if is_unspaced(first) {
            first.len_utf8()
        } else {
            run.find(is_unspaced).unwrap_or(run.len())
        };
        let (piece, rest) = run.split_at(end);
        run = rest;
        Some(piece)
    })
}

/// Whether a character belongs to a script that writes words without spaces.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Burmese
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3040}'..='\u{30ff}' // Hiragana, Katakana
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' // Han
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    fn of_value(json: &str) -> String {
        let raw = RawValue::from_string(json.to_owned()).unwrap();
        LexicalText::of_value(&JsonText::normalise(&raw).unwrap()).0
    }

    #[test]
    fn strings_names_and_numbers_of_a_value_are_its_words() {
        assert_eq!(
            of_value(r#"{"Full Name":"Ada L\u00f6we-King","age":[36,-2.50,true,null],"a\"b":{}}"#),
            "full name ada löwe king age 36 2 50 a b"
        );
        assert_eq!(of_value(r#""one\ntwo\\three\/""#), "one two three");
        assert_eq!(of_value("[true,false,null,[],{}]"), "");
        assert_eq!(of_value("1e3"), "1e3");
    }

    #[test]
    fn words_are_in_lower_case() {
        assert_eq!(of_value(r#""ABC Àé9 \u0130""#), "abc àé9 i\u{307}");
        let long = format!("{}B", "A".repeat(MAX_CHARS));
        assert_eq!(of_value(&format!("\"{long}\"")), "a".repeat(MAX_CHARS));
    }

    #[test]
    fn scripts_without_spaces_are_taken_character_by_character() {
        assert_eq!(of_value(r#""東京にABC行く""#), "東 京 に abc 行 く");
    }

    #[test]
    fn words_are_bounded_and_cut_alike_on_both_sides() {
        let many = of_value(&format!("\"{}\"", "ab ".repeat(100_000)));
        assert!(many.len() <= MAX_BYTES && many.len() > MAX_BYTES - 4);
        let long = "é".repeat(5000);
        assert_eq!(of_value(&format!("\"{long}\"")), LexicalText::of_query(&long).0);
        let query: Vec<String> = (0..500).map(|n| format!("w{}", n / 2)).collect();
        assert_eq!(LexicalText::of_query(&query.join(" ")).0.split(' ').count(), MAX_OF_QUERY);
    }

    proptest! {
        #[test]
        fn words_are_letters_and_digits_alone(text in "\\PC{0,60}") {
            let words = LexicalText::of_query(&text).0;
            for word in words.split(' ').filter(|_| !words.is_empty()) {
                prop_assert!(!word.is_empty());
                prop_assert!(!word.contains(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric()));
            }
            let value = serde_json::to_string(&text).unwrap();
            let of_value = of_value(&value);
            let found: HashSet<&str> = of_value.split(' ').collect();
            prop_assert!(words.split(' ').all(|word| found.contains(word)));
        }
    }
}
