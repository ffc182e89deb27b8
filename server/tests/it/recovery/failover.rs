//! A failover begins another history, and with it another instance: neither prunes nor restores the backups of the other.

use std::path::Path;

use crate::support::backups::{Backups, age, read};
use crate::support::cli::agentfs;
use crate::support::database::Postgres;
use crate::support::replica::Replica;

/// The parts of the instance that a backup is of: the server, the timeline and the database.
fn instance(manifest: &Path) -> Vec<String> {
    read(manifest).instance.split('-').map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_replica_is_another_instance() {
    let postgres = Postgres::start(&[]);
    let database = postgres.database().await;
    database.migrate().await;
    let (replica, backups) = (Replica::of(&postgres, &database).await, Backups::new());
    let manifests = || backups.files(".manifest.json");
    backups.make(&database, &[]);
    // A standby still has the history of its primary.
    backups.make(&replica.database, &[]);
    let before = manifests();
    assert_eq!((before.len(), instance(&before[0])), (2, instance(&before[1])));
    before.iter().for_each(|manifest| age(manifest, 400));

    drop(postgres);
    replica.told("SELECT pg_promote()").await;
    let said = backups.make(&replica.database, &["--keep-last", "1", "--retention-days", "1"]);
    assert!(said.ends_with("old ones removed: 0"), "{said}");
    let after = manifests();
    assert!(before.iter().all(|manifest| after.contains(manifest)), "{after:?}");
    let after = after.iter().find(|manifest| !before.contains(manifest)).unwrap();
    let (former, present) = (instance(&before[0]), instance(after));
    assert_eq!((&former[0], &former[2]), (&present[0], &present[2]));
    assert_eq!((&*former[1], &*present[1]), ("1", "2"));

    let former = read(&before[0]);
    let from = backups.path().to_str().unwrap();
    let restore = ["restore", "--from", from, "--backup", former.id(), "--into-database", "past"];
    let said = agentfs(&restore, &[("DATABASE_URL", &replica.database.superuser_url)]).failure();
    let of = format!("is of the instance {}, and DATABASE_URL leads to ", former.instance);
    assert!(said.contains(&of) && said.contains("--allow-foreign"), "{said}");
}
