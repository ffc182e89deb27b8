//! `agentfs-server drill`, with a real API, and what is left of one that was killed.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use agentfs_contract::termination::DrillReport;
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};
use tempfile::{NamedTempFile, TempDir};

use crate::support::api::Api;
use crate::support::cli::{Said, agentfs};
use crate::support::database::{Database, shared};
use crate::support::process::free_port;
use crate::support::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};

/// A live database with an API, a location of backups, and a folder for what is temporary.
pub struct Live {
    api: Api,
    database: Database,
    folder: TempDir,
    temporary: TempDir,
}

impl Live {
    pub async fn start() -> Self {
        let (api, database) = Api::start().await;
        api.client.put("/notes/lunch", json!("peanuts")).await;
        let [folder, temporary] = [(); 2].map(|()| TempDir::new().unwrap());
        // PostgreSQL may run as another user.
        fs::set_permissions(temporary.path(), Permissions::from_mode(0o711)).unwrap();
        Self { api, database, folder, temporary }
    }

    pub fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        self.run_to(self.folder.path().to_str().unwrap(), arguments, variables)
    }

    fn run_to(&self, location: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let programs = shared().programs().to_str().unwrap();
        let fixed = ["--pg-bin", programs, "--to", location];
        let ours = [
            ("DATABASE_URL", &*self.database.url),
            ("AGENTFS_URL", &*self.api.client.url),
            ("TMPDIR", self.temporary.path().to_str().unwrap()),
        ];
        agentfs(&[arguments, &fixed].concat(), &[&ours, variables].concat())
    }

    /// Makes a backup, in a second of its own.
    fn back_up(&self) -> Said {
        loop {
            let said = self.run(&["backup", "--output", "json"], &[]);
            if !said.err.contains("try again in a second") {
                return said;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    fn drill(&self, arguments: &[&str]) -> Said {
        self.drill_with(arguments, &[])
    }

    pub fn drill_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        self.run(&[&["drill", "--output", "json"], arguments].concat(), variables)
    }

    /// All objects at the location.
    fn objects(&self) -> Vec<String> {
        let names = |folder: &Path| -> Vec<_> {
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
        };
        let folders = names(self.folder.path()).into_iter().filter(|path| path.is_dir());
        let objects = folders.flat_map(|folder| names(&folder));
        let name = |path: PathBuf| path.strip_prefix(self.folder.path()).unwrap().to_owned();
        let mut objects: Vec<_> =
            objects.map(|path| name(path).to_str().unwrap().to_owned()).collect();
        objects.sort();
        objects
    }

    /// What a drill must not leave: its tenant with its rows, objects at the location, and the server that it restores into.
    async fn left(&self) -> Vec<String> {
        let rows = self.database.number(
            "SELECT (SELECT count(*) FROM tenants WHERE name = 'agentfs-drill') + (SELECT count(*) FROM api_keys WHERE label = 'agentfs-drill')
                  + (SELECT count(*) FROM entries WHERE agent_id = 'dr-test') + (SELECT count(*) FROM entry_versions WHERE agent_id = 'dr-test')
                  + (SELECT count(*) FROM quota_usage WHERE tenant_id NOT IN (SELECT id FROM tenants))",
        );
        let mut left = match rows.await {
            0 => Vec::new(),
            rows => vec![format!("{rows} rows")],
        };
        let folders = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        for folder in folders.filter(|path| path.is_dir()) {
            let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            let names = names.map(|name| name.into_string().unwrap());
            left.extend(names.filter(|name| name.contains("drill")));
        }
        let temporary = fs::read_dir(self.temporary.path()).unwrap();
        left.extend(temporary.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
        left
    }
}

fn report(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_shows_that_the_marker_comes_back_and_leaves_nothing() {
    let live = Live::start().await;
    live.run(&["backup"], &[]).text();
    let termination = live.folder.path().join("termination-log");
    fs::write(&termination, "").unwrap();
    let variables = [("AGENTFS_TERMINATION_LOG", termination.to_str().unwrap())];
    let objectives = ["--rpo", "26h", "--rto", "15m"];
    let said = live.drill_with(&objectives, &variables);
    assert_eq!(said.code, Some(0), "{said:?}");
    let report = report(&said);
    assert_eq!(
        (&report["passed"], &report["left"], &report["missed"]),
        (&json!(true), &json!([]), &json!([]))
    );
    let seconds = |name: &str| {
        let mut steps = report["steps"].as_array().unwrap().iter();
        steps.find(|step| step["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"))["seconds"].as_f64().unwrap()
    };
    // All that a restore does as well: a backup that is read slowly is served from late.
    let to_serving =
        ["fetch", "archive", "create", "load", "compare", "migrate", "analyse", "serve"];
    let serving: f64 = to_serving.map(seconds).iter().sum();
    assert!((report["serving_seconds"].as_f64().unwrap() - serving).abs() < 1e-6, "{report}");
    let indexed = report["indexed_seconds"].as_f64().unwrap();
    assert!((indexed - serving - seconds("index")).abs() < 1e-6, "{report}");
    assert!(to_serving.map(seconds).iter().all(|s| *s > 0.0), "{report}");
    assert!(["put", "backup", "start", "marker", "clean"].map(seconds).iter().all(|s| *s > 0.0));
    // The nightly backup counts for the recovery point, and the drill's own does not.
    assert_eq!((&report["backups"], &report["greatest_gap_seconds"]), (&json!(1), &Value::Null));
    assert!(report["rpo_seconds"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(live.left().await, [""; 0]);
    assert_eq!(live.api.client.get("/notes/lunch").await["value"], json!("peanuts"));
    let left = DrillReport::read(&fs::read_to_string(&termination).unwrap()).unwrap();
    assert!(left.passed && left.serving_seconds.is_some(), "{left:?}");

    let text = live.run(&["drill"], &[]).text();
    assert!(text.contains("passed: the marker came back"), "{text}");
    for line in ["  load ", "  RPO  ", "  RTO  "] {
        assert!(text.lines().any(|said| said.starts_with(line)), "{line}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objectives_that_are_missed_say_by_how_much() {
    let live = Live::start().await;
    let said = live.drill(&["--rpo", "26h", "--rto", "1ms"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let report = report(&said);
    assert_eq!(
        (&report["passed"], &report["failure"], &report["left"]),
        (&json!(false), &Value::Null, &json!([]))
    );
    assert_eq!(report["missed"].as_array().unwrap().len(), 2, "{report}");
    assert!(said.err.contains("--rpo 26h is missed: there is no restorable backup"), "{said:?}");
    assert!(said.err.contains("--rto") && said.err.contains("is missed by"), "{said:?}");
    assert_eq!(live.left().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_there_is_drilled_and_nothing_is_put_or_made() {
    let live = Live::start().await;
    let id = |said: &Said| report(said)["id"].as_str().unwrap().to_owned();
    let older = id(&live.back_up());
    live.api.client.put("/notes/dinner", json!("soup")).await;
    let newer = live.back_up();
    let at: Timestamp =
        report(&newer)["manifest"]["snapshot_at"].as_str().unwrap().parse().unwrap();
    let before = live.objects();

    // The API is not asked.
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let away = [("AGENTFS_URL", nobody.as_str())];
    let age = |of: &Value| of["rpo_seconds"].as_f64().unwrap();
    let least = Timestamp::now().duration_since(at).as_secs_f64();
    let said = live.drill_with(&["--backup", "latest", "--rpo", "26h"], &away);
    assert_eq!(said.code, Some(0), "{said:?}");
    let latest = report(&said);
    assert_eq!(
        (&latest["backup"], &latest["backup_given"], &latest["served"]),
        (&json!(id(&newer)), &json!(true), &json!(2))
    );
    let steps = latest["steps"].as_array().unwrap().iter();
    let steps: Vec<_> = steps.map(|step| step["name"].as_str().unwrap()).collect();
    assert!(
        ["fetch", "load", "compare", "migrate", "analyse", "serve", "sample", "index"]
            .iter()
            .all(|of| steps.contains(of)),
        "{steps:?}"
    );
    assert!(!["put", "backup", "marker"].iter().any(|of| steps.contains(of)), "{steps:?}");
    assert!(latest["serving_seconds"].is_f64(), "{latest}");
    // What was written since its snapshot would have been lost, however young other backups are.
    assert!(age(&latest) >= least, "{latest}");
    let said = live.drill_with(&["--backup", &older, "--rpo", "1ms"], &away);
    assert_eq!(said.code, Some(1), "{said:?}");
    let of_older = report(&said);
    assert_eq!((&of_older["backup"], &of_older["served"]), (&json!(older), &json!(1)));
    assert!(age(&of_older) > age(&latest) && said.err.contains("--rpo"), "{said:?}");

    assert_eq!(live.left().await, [""; 0]);
    assert_eq!(live.objects(), before, "no backup, and no lease, is left");
    let text = live.run(&["drill", "--backup", &older], &away).text();
    let came_back = format!("passed: the backup {older} came back and served 1 of 1 entries");
    assert!(text.contains(&came_back), "{text}");
    assert!(text.contains(&format!(": the age of the backup {older}")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_not_there_or_does_not_restore_fails_the_drill() {
    let live = Live::start().await;
    live.run(&["backup"], &[]).text();
    let before = live.objects();
    for (backup, why) in [
        ("agentfs_20200101_000000", "there is no backup agentfs_20200101_000000"),
        ("latest-verified", "no backup is verified"),
    ] {
        let said = live.drill(&["--backup", backup]);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
        assert!(said.err.contains(why), "{said:?}");
    }
    let dump = before.iter().find(|name| name.contains(".dump")).unwrap();
    let dump = live.folder.path().join(dump);
    let mut bytes = fs::read(&dump).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&dump, bytes).unwrap();
    let said = live.drill(&["--backup", "latest"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let failed = report(&said);
    assert!(failed["failure"].is_string() && failed["served"].is_null(), "{failed}");
    assert_eq!((live.left().await, live.objects()), (Vec::new(), before));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_or_a_database_that_is_not_the_right_one_is_said() {
    let live = Live::start().await;
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let said = live.drill(&["--api", &nobody]);
    assert_eq!(said.code, Some(75), "it may be there later: {said:?}");
    assert!(
        said.err.contains(&format!("the API at {nobody} cannot be reached"))
            && said.err.contains("--api"),
        "{said:?}"
    );
    let (other, _database) = Api::start().await;
    let said = live.drill(&["--api", &other.client.url]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("serves another one"), "{said:?}");
    let said = live.drill(&["--api", "127.0.0.1:8787"]);
    assert!(said.code == Some(1) && said.err.contains("is not the URL of an API"), "{said:?}");
    assert_eq!(live.left().await, [""; 0]);

    let away = live.drill_with(&[], &[("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/x")]);
    assert_eq!((away.code, away.out.as_str()), (Some(75), ""), "{away:?}");
    assert!(away.err.contains("cannot be reached") && !away.err.contains("hunter2"), "{away:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_fails_or_is_ended_is_cleaned_up_as_well() {
    let live = Live::start().await;
    let nowhere = format!("postgres://u:p@127.0.0.1:{}/x", free_port());
    let said = live.drill(&["--scratch-url", &nowhere]);
    assert!(matches!(said.code, Some(1 | 75)), "{said:?}");
    let report = report(&said);
    assert!(report["failure"].as_str().unwrap().contains("cannot be reached"), "{report}");
    assert!(
        report["backup"].as_str().unwrap().starts_with("agentfs_drill_"),
        "it had come so far: {report}"
    );
    assert_eq!((&report["left"], live.left().await), (&json!([]), Vec::new()));

    let late = live.drill(&["--deadline", "1ms"]);
    assert!(late.code == Some(75) && late.err.contains("--deadline"), "{late:?}");
    assert_eq!(live.left().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_drill_leaves_is_removed_by_the_next_one() {
    let live = Live::start().await;
    for point in ["drill-key-made", "drill-backed-up", "drill-restored"] {
        let killed = live.drill_with(&[], &[("AGENTFS_FAULT_POINT", point)]);
        assert_eq!(killed.code, None, "{point}: {killed:?}");
        assert_ne!(live.left().await, [""; 0], "{point}");
        let expires = "SELECT count(*) FROM api_keys WHERE label = 'agentfs-drill' AND expires_at < now() + interval '61 minutes'";
        assert_eq!(live.database.number(expires).await, 1, "{point}");
        let next = live.drill(&[]);
        assert_eq!(next.code, Some(0), "{point}: {next:?}");
        assert_eq!(live.left().await, [""; 0], "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_drills_exclude_each_other() {
    let live = Live::start().await;
    let mut other = live.database.connect().await;
    let hold = "SELECT pg_advisory_lock(hashtextextended('agentfs-server database drill', 0))";
    other.execute(hold).await.unwrap();
    let said = live.drill(&[]);
    assert_eq!((said.code, said.out.as_str()), (Some(75), ""), "{said:?}");
    assert!(said.err.contains("another drill of this database is under way"), "{said:?}");
    other.close().await.unwrap();
    // One of another database is none of this one.
    let mut other = Database::empty().await.connect().await;
    other.execute(hold).await.unwrap();
    assert_eq!(live.drill(&[]).code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_whose_backup_nothing_decrypts_puts_and_dumps_nothing() {
    let live = Live::start().await;
    let recipient = Identity::generate().to_public().to_string();
    let said = live.drill_with(&[], &[("BACKUP_RECIPIENTS", &recipient)]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
    assert!(said.err.contains("--identity-file"), "{said:?}");
    assert_eq!(live.left().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_backup_is_drilled_with_its_identity() {
    let live = Live::start().await;
    let (own, another) = (Identity::generate(), Identity::generate());
    let recipient = own.to_public().to_string();
    let [own, another] = [own, another].map(|identity| {
        let mut file = NamedTempFile::new().unwrap();
        writeln!(file, "{}", identity.to_string().expose_secret()).unwrap();
        file
    });
    let encrypts = ("BACKUP_RECIPIENTS", &*recipient);
    let decrypts = ("BACKUP_IDENTITY_FILE", own.path().to_str().unwrap());
    let killed =
        live.drill_with(&[], &[encrypts, decrypts, ("AGENTFS_FAULT_POINT", "drill-backed-up")]);
    assert_eq!(killed.code, None, "{killed:?}");
    assert!(live.objects().iter().any(|name| name.ends_with(".dump.age")), "{:?}", live.objects());
    let said = live.drill_with(&[], &[encrypts, decrypts]);
    assert_eq!((said.code, &report(&said)["passed"]), (Some(0), &json!(true)), "{said:?}");
    assert_eq!(live.left().await, [""; 0]);

    // One that is there already.
    live.run(&["backup"], &[encrypts]).text();
    let latest = ["--backup", "latest"];
    let said = live.drill_with(&latest, &[decrypts]);
    assert_eq!((said.code, &report(&said)["served"]), (Some(0), &json!(1)), "{said:?}");
    let wrong = ("BACKUP_IDENTITY_FILE", another.path().to_str().unwrap());
    for (given, why) in [
        (&[wrong][..], "was encrypted to other recipients"),
        (&[][..], "is encrypted: name the file of an identity"),
    ] {
        let said = live.drill_with(&latest, given);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(report(&said)["failure"].as_str().unwrap().contains(why), "{said:?}");
    }
    assert_eq!(live.left().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_leaves_nothing_in_a_bucket() {
    let (live, bucket) = (Live::start().await, S3Server::versitygw().bucket().await);
    let (location, endpoint) = (bucket.location().to_string(), bucket.server.endpoint());
    let reached = [
        ("AWS_ENDPOINT_URL", &*endpoint),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
    ];
    let drill = |arguments: &[&str]| {
        let drill = ["drill", "--output", "json"];
        let said = live.run_to(&location, &[&drill, arguments].concat(), &reached);
        assert_eq!(said.code, Some(0), "{said:?}");
        report(&said)
    };
    let storage = bucket.storage(&[]).await.unwrap();
    let own = drill(&[]);
    assert!(own["backup"].as_str().unwrap().starts_with("agentfs_drill_"), "{own}");
    assert_eq!((&own["passed"], storage.list().await.unwrap()), (&json!(true), vec![]));
    live.run_to(&location, &["backup"], &reached).text();
    let before = bucket.keys().await;
    assert_eq!(drill(&["--backup", "latest"])["served"], json!(1));
    assert_eq!(bucket.keys().await, before, "no lease is left");
    assert_eq!(live.left().await, [""; 0]);
}
