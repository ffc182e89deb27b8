//! The test sets for search are what tests/search/README.md says of them.

use std::collections::HashSet;
use std::fs::read_to_string;
use std::path::Path;

use serde_json::Value;

fn lines(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../search").join(file);
    let content = read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    content
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn text<'a>(of: &'a Value, field: &str) -> &'a str {
    let text = of[field].as_str().unwrap_or_else(|| panic!("no text {field}: {of}"));
    assert!(!text.trim().is_empty(), "empty {field}: {of}");
    text
}

fn texts<'a>(of: &'a Value, field: &str) -> Vec<&'a str> {
    let texts = of[field].as_array().unwrap_or_else(|| panic!("no list {field}: {of}"));
    assert!(!texts.is_empty(), "empty {field}: {of}");
    texts.iter().map(|text| text.as_str().unwrap_or_else(|| panic!("{field}: {of}"))).collect()
}

fn assert_distinct(of: &[Value], field: &str) {
    let mut seen = HashSet::new();
    for one in of {
        assert!(seen.insert(text(one, field)), "twice the same {field}: {one}");
    }
}

struct Set {
    notes: Vec<Value>,
    questions: Vec<Value>,
}

impl Set {
    fn load(name: &str, notes: usize, questions: usize) -> Self {
        let set = Self {
            notes: lines(&format!("{name}/notes.jsonl")),
            questions: lines(&format!("{name}/questions.jsonl")),
        };
        assert_eq!((set.notes.len(), set.questions.len()), (notes, questions), "{name}");
        ["id", "text"].iter().for_each(|field| assert_distinct(&set.notes, field));
        ["id", "note", "question"].iter().for_each(|field| assert_distinct(&set.questions, field));
        set
    }

    /// Each question with its note.
    fn asked(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.questions.iter().map(|question| {
            let note = self.notes.iter().find(|note| note["id"] == question["note"]);
            (question, note.unwrap_or_else(|| panic!("its note is not there: {question}")))
        })
    }
}

/// Words of four letters or more that a question may share with its note.
const FUNCTION_WORDS: [&str; 10] =
    ["after", "must", "should", "that", "them", "were", "when", "which", "will", "with"];

/// The first five letters of each, so that "sneeze" and "sneezing" are one.
fn content_words(text: &str) -> HashSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .map(str::to_lowercase)
        .filter(|word| word.chars().count() >= 4 && !FUNCTION_WORDS.contains(&word.as_str()))
        .map(|word| word.chars().take(5).collect())
        .collect()
}

#[test]
fn questions_share_no_content_word_with_their_notes() {
    for (question, note) in Set::load("questions", 300, 150).asked() {
        text(note, "kind");
        let words = content_words(text(question, "question"));
        let shared: Vec<_> =
            words.intersection(&content_words(text(note, "text"))).cloned().collect();
        assert!(shared.is_empty(), "{shared:?}: {question} {note}");
    }
}

/// Whether a text has a name that is not a part of a longer one.
fn has_name(text: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    text.match_indices(name).any(|(at, _)| {
        let after = text[at + name.len()..].trim_start_matches(['.', ',', ':', ';', '?', ')', '"']);
        !text[..at].ends_with(part) && (after.is_empty() || !after.starts_with(part))
    })
}

#[test]
fn a_name_is_a_whole_one() {
    assert!(has_name("Version 2.4.1.", "2.4.1") && has_name("(PROJ-104): x", "PROJ-104"));
    for longer in ["12.4.1", "0.2.4.1", "2.4.10", "2.4.1-rc"] {
        assert!(!has_name(longer, "2.4.1"), "{longer}");
    }
}

#[test]
fn a_name_stands_in_its_note_alone() {
    let letters = |text: &str| -> String {
        text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect()
    };
    let set = Set::load("names", 222, 60);
    for (question, note) in set.asked() {
        let name = text(question, "name");
        let named: Vec<_> =
            set.notes.iter().filter(|note| has_name(text(note, "text"), name)).collect();
        assert_eq!(named, [note], "{question}");
        assert!(letters(text(question, "question")).contains(&letters(name)), "{question}");
    }
}

#[test]
fn languages_are_asked_in_both_directions() {
    let set = Set::load("languages", 80, 40);
    for (question, note) in set.asked() {
        assert_eq!(question["note_language"], note["language"], "{question}");
    }
    for language in ["de", "es", "zh", "ja"] {
        for (note, asked, count) in
            [(language, language, 6), (language, "en", 2), ("en", language, 2)]
        {
            let is = |question: &&Value| {
                question["note_language"] == note && question["language"] == asked
            };
            assert_eq!(set.questions.iter().filter(is).count(), count, "{asked} about {note}");
        }
    }
}

#[test]
fn the_answer_stands_in_the_last_tenth_of_a_long_note() {
    for (question, note) in Set::load("long", 20, 20).asked() {
        let (note, answer) = (text(note, "text"), text(question, "answer"));
        let words = note.split_whitespace().count();
        assert!((800..=1500).contains(&words), "{words} words: {question}");
        let (before, after) = note.split_once(answer).unwrap_or_else(|| panic!("{question}"));
        assert!(!after.contains(answer), "twice: {question}");
        let before = before.split_whitespace().count();
        assert!(before * 10 >= words * 9, "after {before} of {words} words: {question}");
    }
}

#[test]
fn cases_of_words_are_written_as_they_are_meant() {
    let cases = lines("words/cases.jsonl");
    assert_eq!(cases.len(), 30);
    assert_distinct(&cases, "id");
    assert_distinct(&cases, "text");
    for case in &cases {
        let (finds, misses) = (texts(case, "finds"), texts(case, "misses"));
        assert!(finds.iter().all(|query| !misses.contains(query)), "{case}");
        // An editor that composes accents, or jamo to syllables, would leave nothing to test.
        let apart = |c: char| matches!(c, '\u{300}'..='\u{36f}' | '\u{1100}'..='\u{11ff}');
        if text(case, "rule").starts_with("composition") {
            assert!(text(case, "text").contains(apart) || finds.concat().contains(apart), "{case}");
        }
    }
}
