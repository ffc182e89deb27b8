//! The examples of docs/API.md, typed as they stand and held against what the document says they print.

use std::process::Stdio;

use agentfs_documents::Examples;
use tokio::process::Command;

use crate::support::api::{Api, new_key};
use crate::support::database::Database;

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_api_page_print_what_it_says() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[]).await;
    let admin = new_key(&database, &["admin"]).await;
    let examples = Examples::of(include_str!("../../../../docs/API.md"), "");
    assert!(examples.len() > 15, "only {} examples were found", examples.len());
    let output = Command::new("bash")
        .args(["-c", examples.script()])
        .env("AGENTFS_URL", &api.client.url)
        .env("AGENTFS_API_KEY", &api.client.key)
        .env("AGENTFS_ADMIN_KEY", admin)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("bash runs");
    examples.check(&output);
}
