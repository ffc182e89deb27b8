//! Every link in the documents of this checkout leads somewhere.

use std::path::Path;

use agentfs_documents::links::{broken, documents};

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pages = documents(&root);
    assert!(pages.len() > 8, "only {} documents were found", pages.len());
    let found: Vec<_> = pages
        .iter()
        .map(|page| (page, broken(page)))
        .filter(|(_, links)| !links.is_empty())
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}
