//! Tokenises values and queries for full text search. PostgreSQL's parser is not used for that: it depends on
//! the database's locale and takes a sentence without spaces for one word.
//!
//! Whoever changes what words a text has raises `form!` of `store/search/documents.rs`: documents of before are then made anew.

use std::collections::HashSet;
use std::iter;
use std::ops::ControlFlow;

use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;

use super::folding::folded;
use crate::domain::memory::value::JsonText;

/// Most bytes of indexed text of one value; the rest is not found. PostgreSQL refuses documents of more than 1 MiB, and
/// words take at most about twice their bytes there.
pub const MAX_BYTES: usize = 64 << 10;
/// Most different words of one query; the rest is ignored.
pub const MAX_OF_QUERY: usize = 64;
/// Longest word in characters; the rest of it is ignored.
const MAX_CHARS: usize = 128;
/// Most bytes of a value that are folded: where few of them are letters, words do not bound the work. ASCII costs next to nothing.
const MAX_FOLDED: usize = 4 * MAX_BYTES;
/// Least bytes of a text that are folded together.
const BLOCK: usize = 1 << 10;

/// Folded words of letters, digits and the marks on them, separated by single spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LexicalText(String);

impl LexicalText {
    /// The words of a value: its strings, member names and numbers, in order.
    pub fn of_value(value: &JsonText) -> Self {
        let mut words = Self(String::new());
        let mut folded_bytes = 0;
        // Broken off where they are too many.
        let _ = value.texts().try_for_each(|text| {
            each(&text, &mut folded_bytes, |word| {
                let before = words.0.len();
                words.push(word);
                if before + word.len() < MAX_BYTES {
                    return ControlFlow::Continue(());
                }
                words.0.truncate(before);
                ControlFlow::Break(())
            })
        });
        words
    }

    /// The different words of a query.
    pub fn of_query(query: &str) -> Self {
        let mut seen = HashSet::new();
        let mut words = Self(String::new());
        let _ = each(query, &mut 0, |word| {
            if seen.len() < MAX_OF_QUERY {
                if seen.insert(word.to_owned()) {
                    words.push(word);
                }
                return ControlFlow::Continue(());
            }
            ControlFlow::Break(())
        });
        words
    }

    /// The words as a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn push(&mut self, word: &str) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(word);
    }
}

/// Gives the words of a text to `take`, folded, until that breaks off or [`MAX_FOLDED`] bytes are folded.
fn each(
    text: &str,
    folded_bytes: &mut usize,
    mut take: impl FnMut(&str) -> ControlFlow<()>,
) -> ControlFlow<()> {
    blocks(text).try_for_each(|block| {
        if !block.is_ascii() {
            *folded_bytes += block.len();
        }
        if *folded_bytes > MAX_FOLDED {
            return ControlFlow::Break(());
        }
        // Before it is split: a decomposed accent would end a word.
        let folded = folded(block);
        folded.split(|c| !is_of_word(c)).flat_map(pieces).map(cut).try_for_each(&mut take)
    })
}

/// Splits a text at spaces into blocks that are folded by themselves, since most of it may be beyond the bounds.
fn blocks(mut text: &str) -> impl Iterator<Item = &str> {
    iter::from_fn(move || {
        let least = text.floor_char_boundary(BLOCK);
        let end = text[least..].find(char::is_whitespace).map_or(text.len(), |more| least + more);
        let (block, rest) = text.split_at(end);
        text = rest;
        (!block.is_empty()).then(|| &block[..block.floor_char_boundary(MAX_BYTES)])
    })
}

/// Whether a character belongs to a word. Marks belong to the letter before them.
pub(super) fn is_of_word(c: char) -> bool {
    use GeneralCategory::{NonspacingMark, SpacingMark};
    c.is_alphanumeric()
        || !c.is_ascii()
            && matches!(
                CodePointMapData::<GeneralCategory>::new().get(c),
                NonspacingMark | SpacingMark
            )
}

fn cut(word: &str) -> &str {
    word.char_indices().nth(MAX_CHARS).map_or(word, |(end, _)| &word[..end])
}

/// Splits a run of letters, digits and marks: into one word, or for scripts without spaces into single characters.
fn pieces(mut run: &str) -> impl Iterator<Item = &str> {
    iter::from_fn(move || {
        // Marks without a letter.
        run = run.trim_start_matches(|c: char| !c.is_alphanumeric());
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
pub(super) fn is_unspaced(c: char) -> bool {
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
    fn words_are_folded() {
        assert_eq!(of_value(r#""ABC Àé9 \u0130""#), "abc àé9 i");
        assert_eq!(
            of_value(r#""Zu\u0308rich, Ｇｒｏßｅ Straße 12㎏""#),
            "zürich grosse strasse 12kg"
        );
        let long = format!("{}B", "A".repeat(MAX_CHARS));
        assert_eq!(of_value(&format!("\"{long}\"")), "a".repeat(MAX_CHARS));
    }

    #[test]
    fn scripts_without_spaces_are_taken_character_by_character() {
        assert_eq!(of_value(r#""東京にABC行く""#), "東 京 に abc 行 く");
        assert_eq!(of_value(r#""ｶﾀｶﾅのﾃﾞ-ﾀ""#), "カ タ カ ナ の デ タ");
        assert_eq!(of_value(r#""abcกขค""#), "abc ก ข ค");
        // As always, without tone marks; what is composed is taken apart on both sides.
        assert_eq!(of_value(r#""\u0e19\u0e49\u0e33""#), "\u{e19} \u{e4d} \u{e32}");
    }

    #[test]
    fn marks_end_no_word_and_make_none() {
        assert_eq!(of_value(r#""हिन्दी, नमस्ते""#), "हिन्दी नमस्ते");
        assert_eq!(of_value(r#""\u0301a \u0301 东\u0301 1\ufe0f\u20e3""#), "a 东 1");
        assert_eq!(of_value(r#""Zusammen\u00adarbeit""#), "zusammenarbeit");
        assert_eq!(of_value(r#""Acme\u2122 2½""#), "acme 2 1 2");
    }

    #[test]
    fn words_are_bounded_and_cut_alike_on_both_sides() {
        let many = of_value(&format!("\"{}\"", "ab ".repeat(100_000)));
        assert!(many.len() <= MAX_BYTES && many.len() > MAX_BYTES - 4);
        let long = "é".repeat(5000);
        assert_eq!(of_value(&format!("\"{long}\"")), LexicalText::of_query(&long).0);
        let blocks = "Stra\u{df}e Zu\u{308}rich\u{3000}".repeat(500);
        assert_eq!(of_value(&format!("\"{blocks}\"")), ["strasse zürich"; 500].join(" "));
        let wordless = "… ".repeat(MAX_FOLDED / 4);
        assert_eq!(of_value(&format!("[\"{wordless}\",\"{wordless}\",\"a\"]")), "");
        let blank = " ".repeat(4 * MAX_FOLDED);
        assert_eq!(of_value(&format!("[\"{blank}\",\"a\"]")), "a");
        let unspaced = of_value(&format!("\"{}\"", "東".repeat(100_000)));
        assert!(unspaced.len() <= MAX_BYTES && unspaced.len() > MAX_BYTES - 8);
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
