//! Tells which words of a query are a name: an id, a number, a version, a file, a person.

use super::folding::composed;
use super::lexical_text::{LexicalText, is_of_word, is_unspaced};

/// Most names of a query; each one is looked for by itself.
const MOST: usize = 4;

/// A name, which is a word of the query besides those that it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its words in order, which stand side by side where it is meant.
    pub words: String,
    /// It is an id or a number: who gives one means it, whatever else the query says.
    pub is_code: bool,
}

/// The names of a query. What is written without a space is one name if it has a digit, or words joined by something else
/// than an apostrophe; so are numbers in a row, and capitalised words in a row. The first word of a query has a capital in
/// any case.
pub fn names(query: &str) -> Vec<Name> {
    let mut names: Vec<(Kind, String)> = Vec::new();
    let mut before = Kind::Plain;
    let query = composed(query);
    let chunks = query.split(|c: char| c.is_whitespace() || is_unspaced(c));
    for (index, chunk) in chunks.filter(|chunk| !chunk.is_empty()).enumerate() {
        let kind = match Kind::of(chunk) {
            Kind::Capitalised if index == 0 => Kind::Plain,
            kind => kind,
        };
        match names.last_mut() {
            Some((_, row)) if kind == before && kind.goes_on() => {
                row.push(' ');
                row.push_str(stem(chunk));
            }
            _ if kind != Kind::Plain => names.push((kind, stem(chunk).to_owned())),
            _ => {}
        }
        before = if chunk.ends_with(is_stop) { Kind::Plain } else { kind };
    }
    let name = |(kind, name): &(Kind, String)| Name { words: words(name), is_code: kind.is_code() };
    names.iter().map(name).take(MOST).collect()
}

/// The words of a name in order; a word may be there twice, as in `10.20.10.4`.
fn words(name: &str) -> String {
    let parts = name.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric());
    let words: Vec<String> =
        parts.map(|part| LexicalText::of_query(part).as_str().to_owned()).collect();
    words.iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Capitalised,
    /// `long-grain`: words that may well be written apart.
    Hyphenated,
    Code,
    Plain,
}

impl Kind {
    fn of(chunk: &str) -> Self {
        let chunk = stem(chunk);
        let is_joint = |c: char| !is_of_word(c) && !is_apostrophe(c);
        let mut letters = chunk.chars().filter(|c| c.is_alphabetic());
        if chunk.contains(char::is_numeric) {
            return match letters.next() {
                Some(_) => Self::Code,
                None if chunk.chars().nth(1).is_some() => Self::Number,
                // A single digit counts something.
                None => Self::Plain,
            };
        }
        match (letters.next(), letters.next()) {
            _ if chunk.contains(|c: char| is_joint(c) && c != '-') => Self::Code,
            _ if chunk.contains('-') => Self::Hyphenated,
            // Not "I".
            (Some(first), Some(_)) if first.is_uppercase() && !is_contracted(chunk) => {
                Self::Capitalised
            }
            _ => Self::Plain,
        }
    }

    /// Whether it is an id or a number.
    fn is_code(self) -> bool {
        matches!(self, Self::Number | Self::Code)
    }

    /// Whether the next one of this kind belongs to the same name.
    fn goes_on(self) -> bool {
        matches!(self, Self::Number | Self::Capitalised)
    }
}

/// Without the punctuation around it, and without the ending of a genitive.
fn stem(chunk: &str) -> &str {
    let inner = chunk.trim_matches(|c: char| !is_of_word(c));
    inner.strip_suffix("'s").or_else(|| inner.strip_suffix("’s")).unwrap_or(inner)
}

/// "I'm", "I'd"
fn is_contracted(chunk: &str) -> bool {
    chunk.starts_with('I') && chunk[1..].starts_with(is_apostrophe)
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’')
}

fn is_stop(c: char) -> bool {
    matches!(c, ',' | ';' | ':' | '.' | '?' | '!')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(query: &str) -> Vec<String> {
        names(query).into_iter().map(|name| name.words).collect()
    }

    #[test]
    fn ids_numbers_and_files_are_names() {
        assert_eq!(found("what was PROJ-1000 about?"), ["proj 1000"]);
        assert_eq!(found("PROJ-1042, what country was that?"), ["proj 1042"]);
        assert_eq!(found("which printer has the address 10.20.10.17?"), ["10 20 10 17"]);
        assert_eq!(
            found("what do we keep in /etc/nginx/conf.d/a.conf?"),
            ["etc nginx conf d a conf"]
        );
        assert_eq!(found("which policy does cache-blue have"), ["cache blue"]);
        assert_eq!(found("who called from +44 20 7946 0958?"), ["44 20 7946 0958"]);
        assert_eq!(found("in 2024, 15 of them"), ["2024", "15"]);
        assert_eq!(found("エラーE4031は何？"), ["e4031"]);
        assert_eq!(found("the 7 of them, v7"), ["v7"]);
    }

    #[test]
    fn capitalised_words_in_a_row_are_a_name_but_not_the_first_word() {
        assert_eq!(found("who is Anna Schmitt?"), ["anna schmitt"]);
        assert_eq!(found("when is Siobhán Walsh's birthday?"), ["siobhán walsh"]);
        assert_eq!(found("Where does O'Donnell sit, and where Li Wei"), ["o donnell", "li wei"]);
        assert_eq!(found("What must Ada not eat? Ask Eve"), ["ada", "ask eve"]);
        assert_eq!(found("Should I go? I'm ill, it's late"), [""; 0]);
    }

    #[test]
    fn marks_join_nothing() {
        assert_eq!(found("wo ist das cafe\u{301}, the hu\u{308}tte"), [""; 0]);
        assert_eq!(found("आज हिन्दी में क्या लिखा"), [""; 0]);
        assert_eq!(found("who is A\u{308}nne Mu\u{308}ller"), ["änne müller"]);
        assert_eq!(found("what was ＰＲＯＪ－１０００ about"), ["proj 1000"]);
    }

    #[test]
    fn a_query_has_few_names_and_may_have_none() {
        assert_eq!(found("food she must not eat"), [""; 0]);
        assert_eq!(found(" -- ... ?! 's "), [""; 0]);
        assert_eq!(found("a1 b2 c3 d4 e5").len(), MOST);
    }

    #[test]
    fn ids_and_numbers_are_told_from_words_that_look_like_names() {
        let codes = |query| names(query).iter().map(|name| name.is_code).collect::<Vec<_>>();
        assert_eq!(codes("did Ada pay 77-20418 in 2024"), [false, true, true]);
        assert_eq!(codes("the off-road cycle, a.rs"), [false, true]);
    }
}
