//! The page for people tells of every reason that a condition can have, and of no other.

use std::collections::BTreeSet;

use agentfs_operator::{agentfs, kit, restore, task};

/// The reasons that the page tells of, each with how much it says.
fn told() -> Vec<(String, usize)> {
    let path = format!("{}/../docs/TROUBLESHOOTING.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(path).unwrap();
    let lines: Vec<_> = page.lines().collect();
    let mut told = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(row) = line.strip_prefix("| `") {
            let (reason, rest) = row.split_once("` | ").unwrap();
            told.push((reason.to_owned(), rest.len()));
        }
        if let Some(heading) = line.strip_prefix("### `") {
            let text = lines[at + 1..].iter().take_while(|line| !line.starts_with('#'));
            told.push((heading.trim_end_matches('`').to_owned(), text.map(|l| l.len()).sum()));
        }
    }
    told
}

#[test]
fn every_reason_is_told_once_and_says_what_to_do() {
    let told = told();
    for (reason, length) in &told {
        assert!(*length > 20, "{reason} says next to nothing");
    }
    let reasons: Vec<_> = told.into_iter().map(|(reason, _)| reason).collect();
    let known: BTreeSet<_> = kit::reasons::ALL
        .iter()
        .chain(agentfs::reasons::ALL)
        .chain(task::reasons::ALL)
        .chain(restore::reasons::ALL)
        .map(|reason| reason.as_str().to_owned())
        .collect();
    let named: BTreeSet<_> = reasons.iter().cloned().collect();
    assert_eq!(known.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new(), "not told of");
    assert_eq!(named.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "no reason");
    assert_eq!(reasons.len(), known.len(), "a reason is told of twice");
}
