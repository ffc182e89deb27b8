//! What a document defines: its headings, and the terms that it sets in bold.

use crate::links::{anchor, prose, without_code};

/// A term, and the chapter that defines it.
#[derive(Debug, PartialEq, Eq)]
pub struct Term {
    /// The term: lower case, with spaces for hyphens.
    pub text: String,
    /// The anchor of the chapter.
    pub anchor: String,
}

/// The terms of a document.
pub fn terms(document: &str) -> Vec<Term> {
    let mut chapters: Vec<(&str, String)> = vec![("", String::new())];
    let prose = prose(document);
    for line in prose.lines() {
        match (line.starts_with('#'), chapters.last_mut()) {
            (false, Some((_, text))) => text.extend([line, "\n"]),
            _ => chapters.push((line.trim_start_matches('#').trim(), String::new())),
        }
    }
    let mut terms = Vec::new();
    for (heading, text) in chapters {
        let text = without_code(&text);
        // A bold term does not go beyond its paragraph.
        let bold =
            text.split("\n\n").flat_map(|paragraph| paragraph.split("**").skip(1).step_by(2));
        terms.extend(
            [heading]
                .into_iter()
                .chain(bold)
                .map(|term| Term { text: plain(term), anchor: anchor(heading) }),
        );
    }
    terms
}

/// As people search for it.
pub fn plain(term: &str) -> String {
    term.to_lowercase().replace(['-', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_and_bold_words_are_terms_of_their_chapter() {
        let page = "# One\nA **Point-in-time\nrecovery** and a word.\n\n```sh\n**no**\n```\n\n## Two things\n| **b** | `**c**` |\n";
        let found: Vec<_> = terms(page).into_iter().map(|t| (t.text, t.anchor)).collect();
        let expected = [
            ("", ""),
            ("one", "one"),
            ("point in time recovery", "one"),
            ("two things", "two-things"),
            ("b", "two-things"),
        ];
        assert_eq!(found, expected.map(|(text, anchor)| (text.to_owned(), anchor.to_owned())));
    }
}
