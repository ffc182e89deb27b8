//! Who searches the documents by the words of the field finds the chapter that is meant.

use std::fs;
use std::path::Path;

use agentfs_documents::links::documents;
use agentfs_documents::terms::{plain, terms};

/// What is searched for, and the page and chapter that has it in its heading or defines it, in bold.
const SEARCHED: [(&str, &str, &str); 8] = [
    ("rate limit", "docs/API.md", "rate-limits-and-quotas"),
    ("stop words", "docs/API.md", "search"),
    ("tombstone", "docs/API.md", "versions-and-tombstones"),
    ("optimistic concurrency", "docs/API.md", "optimistic-concurrency"),
    ("idempotency", "docs/API.md", "idempotency"),
    ("connection pool", "docs/OPERATIONS.md", "connection-pooling"),
    ("semantic search", "docs/API.md", "search"),
    ("point-in-time recovery", "docs/OPERATIONS.md", "restore-to-a-point-in-time"),
];

#[test]
fn the_words_of_the_field_lead_to_the_page_that_is_meant() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut defined = Vec::new();
    for page in documents(&root.join("docs")).into_iter().chain([root.join("README.md")]) {
        let name = page.strip_prefix(&root).unwrap().display().to_string();
        let found = terms(&fs::read_to_string(&page).unwrap());
        defined.extend(found.into_iter().map(|term| (term.text, name.clone(), term.anchor)));
    }
    for (word, page, chapter) in SEARCHED {
        let found: Vec<_> =
            defined.iter().filter(|(term, ..)| term.contains(&plain(word))).collect();
        assert!(
            found.iter().any(|(_, p, c)| (p.as_str(), c.as_str()) == (page, chapter)),
            "{word:?} is searched for: {page}#{chapter} neither has it in its heading nor defines it; these do: {found:#?}"
        );
    }
}
