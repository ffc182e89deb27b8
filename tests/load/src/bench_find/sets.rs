//! The sets of tests/search.

use std::fmt::Write as _;
use std::fs::read_to_string;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ask::{Asker, Mode};

/// All sets.
pub(crate) const NAMES: [&str; 5] = ["questions", "names", "languages", "long", WORDS];
/// The one without questions.
pub(crate) const WORDS: &str = "words";

#[derive(Debug, Deserialize)]
struct Note {
    id: String,
    text: String,
}

/// A question, and the id of the one right note.
#[derive(Debug, Deserialize)]
pub(crate) struct Question {
    pub(crate) note: String,
    #[serde(rename = "question")]
    pub(crate) text: String,
    language: Option<String>,
    note_language: Option<String>,
}

/// Notes, and questions about them.
#[derive(Debug)]
pub(crate) struct Set {
    name: String,
    notes: Vec<Note>,
    pub(crate) questions: Vec<Question>,
}

impl Set {
    pub(crate) fn read(sets: &Path, name: &str) -> anyhow::Result<Self> {
        let notes = lines(&sets.join(name).join("notes.jsonl"))?;
        let questions = lines(&sets.join(name).join("questions.jsonl"))?;
        Ok(Self { name: name.to_owned(), notes, questions })
    }

    /// Ids and texts.
    pub(crate) fn notes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.notes.iter().map(|note| (note.id.as_str(), note.text.as_str()))
    }

    pub(crate) fn text(&self, id: &str) -> &str {
        self.notes.iter().find(|note| note.id == id).map_or("", |note| &note.text)
    }

    /// The rows in which a question counts: of its set, and of its pair of languages.
    pub(crate) fn groups(&self, question: &Question) -> Vec<String> {
        let pair = question.language.as_deref().zip(question.note_language.as_deref());
        let pair = pair.map(|(asked, of)| format!("  {asked} about {of}"));
        [Some(self.name.clone()), pair].into_iter().flatten().collect()
    }
}

/// A note, and words by which it must be found or must not.
#[derive(Debug, Deserialize)]
struct Case {
    id: String,
    text: String,
    finds: Vec<String>,
    misses: Vec<String>,
}

/// The set of words that are written differently and are the same.
#[derive(Debug)]
pub(crate) struct Cases(Vec<Case>);

impl Cases {
    pub(crate) fn read(sets: &Path) -> anyhow::Result<Self> {
        lines(&sets.join(WORDS).join("cases.jsonl")).map(Self)
    }

    pub(crate) fn notes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|case| (case.id.as_str(), case.text.as_str()))
    }

    /// Says how many cases hold in full-text search.
    pub(crate) async fn ask(&self, asker: &Asker<'_>, misses: bool) -> anyhow::Result<String> {
        let mut held = 0;
        for case in &self.0 {
            let mut holds = true;
            let queries = case.finds.iter().map(|query| (query, true));
            for (query, wanted) in queries.chain(case.misses.iter().map(|query| (query, false))) {
                let found = asker.ask(WORDS, query, Mode::Text).await?;
                if found.contains(&case.id) != wanted {
                    holds = false;
                    if misses {
                        eprintln!("{WORDS}: {query:?} must find {:?}: {wanted}", case.text);
                    }
                }
            }
            held += usize::from(holds);
        }
        let mut said = String::new();
        write!(said, "{WORDS}: {held} of {} cases hold in mode text", self.0.len())?;
        Ok(said)
    }
}

fn lines<T: DeserializeOwned>(file: &Path) -> anyhow::Result<Vec<T>> {
    let content = read_to_string(file).with_context(|| file.display().to_string())?;
    let parsed = content.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    parsed.with_context(|| format!("{} is not as tests/search/README.md says", file.display()))
}
