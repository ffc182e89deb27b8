//! `agentfs-server restore --in-place`, `--undo` and `--drop-previous`, as they are typed.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use agentfs_contract::termination::{Report, RestoreReport};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::{NamedTempFile, TempDir};
use uuid::Uuid;

use crate::support::api::Api;
use crate::support::backups::{Backups, ended};
use crate::support::cli::{Said, agentfs};
use crate::support::database::{Database, shared};
use crate::support::shell::Shell;

/// What a restore needs in these tests, whose machine may have little room.
const ROOM: [&str; 2] = ["--free-space", "1TB"];

/// Runs `restore` on a database, and leaves its termination message in `termination`.
fn restore(database: &Database, arguments: &[&str], termination: Option<&Path>) -> Said {
    let file = termination.map_or("", |file| file.to_str().unwrap());
    let variables = [("DATABASE_URL", database.url.as_str()), ("AGENTFS_TERMINATION_LOG", file)];
    agentfs(&[&["restore"], arguments].concat(), &variables)
}

/// The arguments of a restore in place of the newest backup, and more.
fn in_place<'a>(backups: &'a Backups, more: &[&'a str]) -> Vec<&'a str> {
    let from = backups.path().to_str().unwrap();
    let programs = shared().programs().to_str().unwrap();
    let fixed = ["--from", from, "--backup", "latest", "--in-place", "--pg-bin", programs];
    [&fixed[..], &ROOM, more].concat()
}

/// An API in whose backup `/kept` is 1, and in whose memory it is 2.
async fn backed_up() -> (Api, Database, Backups) {
    let (api, database) = Api::start().await;
    api.client.put("/kept", json!(1)).await;
    let backups = Backups::new();
    backups.make(&database, &[]);
    api.client.put("/kept", json!(2)).await;
    (api, database, backups)
}

async fn kept(api: &Api) -> serde_json::Value {
    api.client.get("/kept").await["value"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_its_undoing_and_the_end_of_both() {
    let (api, database, backups) = backed_up().await;
    let id = backups.manifest().id().to_owned();
    let termination = NamedTempFile::new().unwrap();
    let arguments = in_place(&backups, &["--yes", "--output", "json"]);
    let said = restore(&database, &arguments, Some(termination.path()));
    for told in
        [&format!("Restoring {id} in place"), "lost   about 1 version", "\nload", "\nswitch"]
    {
        assert!(said.err.contains(told), "{told}: {said:?}");
    }
    let restored = said.json();
    assert_eq!(
        (&restored["done"], &restored["backup"], &restored["lost_versions"]),
        (&json!("restored"), &json!(id), &json!(1))
    );
    assert_eq!(kept(&api).await, json!(1));
    let report = std::fs::read_to_string(termination.path()).unwrap();
    let report = RestoreReport::read(&report).expect(&report);
    assert_eq!((report.backup, report.lost_versions, report.undone), (id, 1, false));
    assert_eq!(json!(report.restore), restored["id"]);

    let folder = TempDir::new().unwrap();
    let lost = folder.path().join("lost.jsonl");
    let other = Uuid::new_v4().to_string();
    let said = restore(&database, &["--undo", "--yes", "--restore", &other], None);
    assert!(said.code == Some(1), "{said:?}");
    assert!(
        said.err.contains(&format!("the restore {other} is not the last one in place")),
        "{said:?}"
    );
    assert_eq!(kept(&api).await, json!(1));
    let this = ["--undo", "--yes", "--restore", restored["id"].as_str().unwrap()];
    let undo = [&this[..], &["--lost-to", lost.to_str().unwrap()]].concat();
    api.client.put("/since", json!("the restore")).await;
    let said = restore(&database, &undo, None);
    assert!(said.err.contains("Undoing the restore of"), "{said:?}");
    assert!(said.err.contains(", kept as the schema agentfs_old"), "{said:?}");
    let lost = std::fs::read_to_string(&lost).unwrap();
    assert!(lost.lines().count() == 1 && lost.contains("/since"), "{lost}");
    let told = said.text();
    assert!(
        told.starts_with("Undone: the restore of") && told.contains("restore --undo"),
        "{told}"
    );
    assert_eq!(kept(&api).await, json!(2));
    let said = restore(&database, &this, None);
    assert!(said.code == Some(1) && said.err.contains("is not the last one"), "{said:?}");
    assert_eq!(kept(&api).await, json!(2));

    let said = restore(&database, &["--drop-previous", "--yes"], None).text();
    assert!(said.starts_with("Dropped what was live before the restore"), "{said}");
    let said = restore(&database, &["--drop-previous", "--yes"], None).text();
    assert!(said.starts_with("Nothing to drop"), "{said}");
    let said = restore(&database, &["--undo", "--yes"], Some(termination.path()));
    assert!(said.code == Some(1) && said.err.contains("nothing to undo"), "{said:?}");
    let report = std::fs::read_to_string(termination.path()).unwrap();
    assert!(Report::read(&report).expect(&report).message.contains("nothing to undo"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_stop_it_in_the_end_stops_it_before_anything_is_loaded() {
    let (api, database, backups) = backed_up().await;
    let stranger = format!("stranger_{}", Uuid::new_v4().simple());
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let give = format!("CREATE ROLE {stranger}; ALTER TABLE embedding_jobs OWNER TO {stranger}");
    superuser.execute(AssertSqlSafe(give)).await.unwrap();
    let said = restore(&database, &in_place(&backups, &["--yes"]), None);
    let take = format!("ALTER TABLE embedding_jobs OWNER TO agentfs; DROP ROLE {stranger}");
    superuser.execute(AssertSqlSafe(take)).await.unwrap();
    assert!(
        said.code == Some(1) && said.err.contains(&format!("run GRANT {stranger}")),
        "{said:?}"
    );
    assert!(!said.err.contains("\nload"), "{said:?}");
    assert_eq!(kept(&api).await, json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_that_nobody_has_agreed_to() {
    let (api, database, backups) = backed_up().await;
    let arguments = in_place(&backups, &[]);
    let said = restore(&database, &arguments, None);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
    assert!(
        said.err.contains("lost   about 1 version") && said.err.contains("add --yes"),
        "{said:?}"
    );
    let schemas =
        "SELECT count(*) FROM pg_namespace WHERE nspname IN ('agentfs_new', 'agentfs_old')";
    assert_eq!((kept(&api).await, database.number(schemas).await), (json!(2), 0));

    // At a terminal it asks.
    let said = at_terminal(&database, &arguments, "\n");
    assert!(said.code == Some(1) && said.out.contains("Continue? [y/N]"), "{said:?}");
    assert!(said.out.contains("the answer was no"), "{said:?}");
    assert_eq!((kept(&api).await, database.number(schemas).await), (json!(2), 0));
    let said = interrupted_at_terminal(&database, &arguments);
    assert!(said.code == Some(75) && said.out.contains("a signal ended it"), "{said:?}");
    assert!(!said.out.contains("the answer was no"), "{said:?}");
    assert_eq!((kept(&api).await, database.number(schemas).await), (json!(2), 0));
    let said = at_terminal(&database, &arguments, "y\n");
    assert!(said.code == Some(0) && said.out.contains("in place; live since"), "{said:?}");
    assert_eq!(kept(&api).await, json!(1));
    // Who is asked may also agree to what --yes does not.
    let said = at_terminal(&database, &arguments, "y\n");
    assert!(said.code == Some(0) && said.out.contains("1 version for good"), "{said:?}");

    for option in ["--undo", "--drop-previous"] {
        let said = restore(&database, &[option], None);
        assert!(said.code == Some(1) && said.err.contains("add --yes"), "{said:?}");
    }
    assert_eq!((kept(&api).await, database.number(schemas).await), (json!(1), 1));
}

/// Runs `restore` at a terminal, at which somebody types.
fn at_terminal(database: &Database, arguments: &[&str], typed: &str) -> Said {
    let shell = terminal(database, arguments);
    shell.stdin.as_ref().unwrap().write_all(typed.as_bytes()).unwrap();
    ended(shell)
}

/// The same with Ctrl-C at the question.
fn interrupted_at_terminal(database: &Database, arguments: &[&str]) -> Said {
    let mut shell = terminal(database, arguments);
    let (mut shown, mut more) = (Vec::new(), [0; 1024]);
    while !String::from_utf8_lossy(&shown).contains("[y/N] ") {
        let read = shell.stdout.as_mut().unwrap().read(&mut more).unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&more[..read]);
    }
    // Held until it has ended: the end of what is typed is an answer as well.
    let mut typed = shell.stdin.take().unwrap();
    typed.write_all(b"\x03").unwrap();
    let said = ended(shell);
    drop(typed);
    said
}

fn terminal(database: &Database, arguments: &[&str]) -> Child {
    let program = env!("CARGO_BIN_EXE_agentfs-server");
    let words = [program, "restore"].into_iter().chain(arguments.iter().copied());
    let line: Vec<String> = words.map(|word| format!("'{word}'")).collect();
    Command::new("script")
        // Without exec some shells stay beside the program, and Ctrl-C ends them.
        .args(["--quiet", "--return", "--flush", "--command"])
        .args([&format!("exec {}", line.join(" ")), "/dev/null"])
        .env("DATABASE_URL", &database.url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("script starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_without_a_manifest_takes_the_place_too() {
    let (api, database) = Api::start().await;
    api.client.put("/kept", json!(1)).await;
    let folder = TempDir::new().unwrap();
    database.execute("CREATE SCHEMA reports; CREATE TABLE reports.usage (id int)").await;
    database
        .execute("CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n'")
        .await;
    Shell::of_owner(&database, folder.path()).line("pg_dump -Fc -f backup.dump").await;
    api.client.put("/kept", json!(2)).await;

    let file = folder.path().join("backup.dump");
    let programs = shared().programs().to_str().unwrap();
    let fixed = ["--file", file.to_str().unwrap(), "--in-place", "--pg-bin", programs, "--yes"];
    let said = restore(&database, &[&fixed[..], &ROOM].concat(), None);
    for told in [
        "It has no manifest",
        "the schema reports",
        "FUNCTION twice",
        "keys that only the backup has are left out",
    ] {
        assert!(said.err.contains(told), "{told}: {said:?}");
    }
    let told = said.text();
    assert!(told.starts_with("Restored backup@"), "{told}");
    assert_eq!(kept(&api).await, json!(1));
    restore(&database, &["--undo", "--yes"], None).text();
    assert_eq!(kept(&api).await, json!(2));
}

#[test]
fn what_is_typed_amiss_is_told_before_anything_is_connected() {
    let nowhere = [("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")];
    let said = agentfs(&["restore"], &nowhere);
    assert_eq!(said.code, Some(2), "{said:?}");
    for option in ["--in-place", "--into-database", "--undo", "--drop-previous"] {
        assert!(said.err.contains(option), "{said:?}");
    }
    let said = agentfs(&["restore", "--undo", "--jobs", "2"], &nowhere).failure();
    assert!(said.contains("--jobs does not go with --undo"), "{said}");
    let lots = ["restore", "--backup", "latest", "--in-place", "--index-memory", "lots"];
    let said = agentfs(&lots, &nowhere);
    assert!(said.code == Some(2) && said.err.contains("such as 512MB or 2GB"), "{said:?}");
}
