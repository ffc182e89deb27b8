//! Every link in the documents of this checkout leads somewhere, and every page for users is found from the README.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use agentfs_documents::links::{broken, documents, reached};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

#[test]
fn every_link_leads_somewhere() {
    let pages = documents(&root());
    for known in [
        "README.md",
        "docs/API.md",
        "docs/architecture/writes.md",
        "charts/agentfs-operator/README.md",
    ] {
        assert!(pages.contains(&root().join(known)), "{known} is not looked at");
    }
    let found: Vec<_> = pages
        .iter()
        .map(|page| (page, broken(page)))
        .filter(|(_, links)| !links.is_empty())
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_page_is_found_from_the_readme() {
    let found = reached(&root().join("README.md"));
    let pages = documents(&root().join("docs"));
    let lost: Vec<_> = pages.iter().filter(|page| !found.contains(*page)).collect();
    assert!(lost.is_empty(), "no page leads to {lost:#?}");
}
