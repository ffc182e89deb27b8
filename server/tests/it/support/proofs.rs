//! Verifications that somebody else has written.

use std::path::Path;

use agentfs_contract::verification::{Level, Step, Verification};
use agentfs_server::recovery::catalogue::{Catalogue, Selector};
use agentfs_server::recovery::storage::Storage;
use agentfs_server::recovery::{Location, record};
use jiff::Timestamp;

/// Writes that the newest backup in a folder was restored, with success unless there is a `failure`; returns its id.
pub async fn prove_latest(folder: &Path, failure: Option<&str>) -> String {
    let storage = Storage::open(&Location::Folder(folder.to_owned())).await.expect("opens");
    let catalogue = Catalogue::read(&storage).await.expect("a catalogue");
    let backup = catalogue.select(&Selector::Latest, None).expect("a backup");
    let step = |name: &str, seconds| Step { name: name.to_owned(), seconds };
    let verification = Verification {
        backup: backup.id().to_owned(),
        manifest: backup.manifest.checksum.clone(),
        level: Level::Restore,
        failure: failure.map(str::to_owned),
        at: Timestamp::now(),
        program: "0.1.0".into(),
        postgres: Some("17.5".into()),
        steps: vec![step("load", 2.5), step("compare", 0.5)],
    };
    record::write(&storage, backup, &verification).await.expect("is written");
    backup.id().to_owned()
}
