//! Notes on search results: fallbacks, missing embeddings, long values, stop words, an agent without searchable entries, the past.

use crate::store::search::{Matches, NothingToFind, RankBy};

pub(super) const NO_EMBEDDINGS: &str =
    "full-text search: this server has no embeddings for semantic search";

pub(super) const BLANK: &str = "the query is blank, so nothing is found; send what is looked for";

/// What is said of entries that have no embedding of a past moment.
const BY_WORDS_ONLY: &str = "written or deleted after as_of can be found by full-text search only";

/// The note on results ranked `by` a method; `instead` says why it is not the requested one.
pub(super) fn note(by: RankBy<'_>, instead: Option<String>, found: &Matches) -> Option<String> {
    let only_stop_words = "the query contains only stop words (like \"the\", \"is\", \"and\") or punctuation; use more specific terms";
    let cut = match found.cut {
        0 => None,
        1 => Some("1 more result is left out, since its value would make the answer too large; narrow path_prefix or tags_any to see it".to_owned()),
        n => Some(format!("{n} more results are left out, since their values would make the answer too large; narrow path_prefix or tags_any to see them")),
    };
    let waiting = match (by, found.unembedded) {
        (RankBy::FullText, _) | (_, 0) => None,
        (RankBy::Semantic(_), 1) => {
            Some("1 entry has no embedding yet and is not found".to_owned())
        }
        (RankBy::Semantic(_), n) => {
            Some(format!("{n} entries have no embedding yet and are not found"))
        }
        (_, 1) => Some("1 entry has no embedding yet and is found by full-text search".to_owned()),
        (_, n) => {
            Some(format!("{n} entries have no embedding yet and are found by full-text search"))
        }
    };
    let too_long = match found.too_long {
        0 => None,
        1 => Some(
            "1 value is too long to be found by meaning to its end; split it into several entries"
                .to_owned(),
        ),
        n => Some(format!(
            "{n} values are too long to be found by meaning to their ends; split them into several entries"
        )),
    };
    let since = match (by, found.written_since) {
        (RankBy::FullText, _) | (_, 0) => None,
        (_, 1) => Some(format!("1 entry {BY_WORDS_ONLY}")),
        (_, n) => Some(format!("{n} entries {BY_WORDS_ONLY}")),
    };
    let nothing = found.nothing_to_find.map(|nothing| match nothing {
        NothingToFind::NoneSearchable => {
            "none of this agent's entries is searchable; put them with \"searchable\":true"
        }
        NothingToFind::NoEntries => {
            "nothing was put for this agent_id yet; upper and lower case are different"
        }
        NothingToFind::NoneThen => {
            "at as_of there was no searchable entry that path_prefix, tags_any and filter let pass"
        }
    });
    let has_only_stop_words =
        matches!(by, RankBy::FullText | RankBy::Hybrid(_)) && !found.has_terms;
    let notes = [
        nothing.map(str::to_owned),
        instead,
        waiting,
        too_long,
        since,
        has_only_stop_words.then(|| only_stop_words.to_owned()),
        cut,
    ];
    let notes: Vec<String> = notes.into_iter().flatten().collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}
