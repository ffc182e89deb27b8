//! Where the commands of a document are run.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use agentfs_documents::{unexplained, unknown_marks};

/// The pages whose commands without a mark are run on one machine, by `server/tests/pages`.
const RUN: [&str; 6] = [
    "README.md",
    "docs/INSTALL.md",
    "docs/API.md",
    "docs/RECIPES.md",
    "docs/OPERATIONS.md",
    "docs/guides/mcp.md",
];

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

#[test]
fn every_mark_is_a_place_that_a_test_knows() {
    for name in RUN {
        assert_eq!(unknown_marks(&page(name)), [""; 0], "{name}");
    }
}

#[test]
fn what_no_test_runs_says_why() {
    for name in ["docs/RECIPES.md", "docs/OPERATIONS.md"] {
        assert_eq!(unexplained(&page(name)), [""; 0], "{name}");
    }
}
