//! Records of backups and drills that commands keep in Kubernetes, by an API server of the test.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use agentfs_contract::record::{self, BackupRecord, VerificationRecord};
use agentfs_contract::termination::BackupReport;
use agentfs_server::records::{Kubernetes as Client, KubernetesError};
use axum::http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::drill::Live;
use crate::support::backups::{Backups, age, read};
use crate::support::cli::{Said, agentfs};
use crate::support::database::{Database, shared};
use crate::support::kubernetes::Kubernetes;

/// A database, its backups, and the cluster that keeps records of them.
struct Pod {
    kubernetes: Kubernetes,
    database: Database,
    backups: Backups,
    termination: TempDir,
}

impl Pod {
    async fn start() -> Self {
        let termination = TempDir::new().unwrap();
        fs::write(termination.path().join("log"), "").unwrap();
        Self {
            kubernetes: Kubernetes::start().await,
            database: Database::migrated().await,
            backups: Backups::new(),
            termination,
        }
    }

    /// Runs a command as a pod does.
    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let log = self.termination.path().join("log");
        let programs = shared().programs().to_str().unwrap();
        let mut arguments = arguments.to_vec();
        if ["backup", "verify"].contains(&arguments[0]) && !arguments.contains(&"--pg-bin") {
            arguments.extend(["--pg-bin", programs]);
        }
        let own = self.kubernetes.variables();
        let mut all: Vec<(&str, &str)> =
            own.iter().map(|(name, value)| (*name, &**value)).collect();
        all.extend([
            ("DATABASE_URL", &*self.database.url),
            ("BACKUP_LOCATION", self.backups.path().to_str().unwrap()),
            ("BACKUP_SCRATCH_URL", &*self.database.superuser_url),
            ("AGENTFS_TERMINATION_LOG", log.to_str().unwrap()),
        ]);
        all.extend(variables);
        agentfs(&arguments, &all)
    }

    /// Makes a backup, in a second of its own.
    fn back_up(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        loop {
            let said = self.run(&[&["backup"], arguments].concat(), variables);
            if !said.err.contains("try again in a second") {
                return said;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    fn report(&self) -> BackupReport {
        let left = fs::read_to_string(self.termination.path().join("log")).unwrap();
        BackupReport::read(&left).unwrap_or_else(|| panic!("{left}"))
    }

    /// What the only record says of its backup.
    #[track_caller]
    fn only(&self) -> Value {
        let mut backups = self.kubernetes.backups();
        assert_eq!(backups.len(), 1, "{backups:?}");
        backups.remove(0)
    }
}

fn facts(object: &Value) -> BackupRecord {
    serde_json::from_value(object["status"]["backup"].clone()).unwrap()
}

fn found(object: &Value) -> Option<VerificationRecord> {
    serde_json::from_value(object["status"]["verification"].clone()).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_and_its_verification_are_recorded_by_the_pods_themselves() {
    let pod = Pod::start().await;
    pod.back_up(&[], &[]).text();
    let manifest = pod.backups.manifest();
    let record = pod.only();
    assert_eq!(record["metadata"]["name"], record::name("memory", manifest.id()));
    assert_eq!(record["metadata"]["labels"], json!({"agentfs.io/agentfs": "memory"}));
    let spec = json!({"agentFS": "memory", "scope": "Full", "recordOf": manifest.id()});
    assert_eq!(record["spec"], spec);
    let said = facts(&record);
    assert_eq!((&said.id[..], &said.instance), (manifest.id(), &manifest.instance));
    assert_eq!(said.location, pod.backups.path().display().to_string());
    assert_eq!(said.database_bytes, i64::try_from(manifest.database_bytes).unwrap());
    assert_eq!(pod.report().backup.as_ref(), Some(&said), "the operator is told the same");
    assert_eq!((pod.report().verification, found(&record)), (None, None));

    // Kubernetes gives pods a new token each hour.
    pod.kubernetes.rotate("second");
    pod.run(&["verify"], &[]).text();
    let verified = found(&pod.only()).unwrap();
    assert_eq!((&*verified.verified, &*verified.level), ("True", "Restore"));
    let written = pod.kubernetes.cluster().requests.len();
    pod.run(&["verify", "--level", "archive"], &[]).text();
    assert_eq!(found(&pod.only()), Some(verified), "it proves no more, and takes nothing back");
    let more = pod.kubernetes.cluster().requests.len() - written;
    assert_eq!(more, 1, "what is right is not written again");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_lost_come_back_and_say_what_has_vanished() {
    let pod = Pod::start().await;
    for _ in 0..3 {
        pod.back_up(&[], &[]).text();
    }
    let mut manifests = pod.backups.files(".manifest.json");
    let before = pod.kubernetes.backups();
    assert_eq!(before.len(), 3, "the list has more than one page");
    pod.kubernetes.forget();
    pod.kubernetes.ask_for_backup("of-another", "other");
    // Without the database, as after its loss.
    let sync = |arguments: &[&str]| {
        pod.run(&[&["catalog", "sync"], arguments].concat(), &[("DATABASE_URL", "")])
    };
    assert_eq!(sync(&[]).text(), "Records created: 3, updated: 0, deleted: 0");
    let facts_of = |objects: &[Value]| objects.iter().take(3).map(facts).collect::<Vec<_>>();
    assert_eq!(facts_of(&pod.kubernetes.backups()), facts_of(&before));
    assert_eq!(
        sync(&["--output", "json"]).json(),
        json!({"created": 0, "updated": 0, "deleted": 0})
    );

    let lost = read(&manifests[0]);
    fs::remove_file(manifests[0].with_file_name(&lost.file)).unwrap();
    fs::remove_file(manifests.remove(0)).unwrap();
    // Some rules may have removed it, which only those know who prune.
    assert_eq!(sync(&[]).text(), "Records created: 0, updated: 0, deleted: 0");
    pod.back_up(&[], &[]).text();
    let newest = pod.backups.files(".manifest.json").pop().unwrap();
    let oldest = &pod.kubernetes.backups()[0];
    assert!(oldest["status"]["vanishedTime"].is_string(), "{oldest}");
    assert_eq!(facts(oldest).id, lost.id());

    // What is removed by name goes with its record; the one that vanished stays, and so does another's.
    let removed = read(&manifests[0]);
    pod.run(&["forget", "--backup", removed.id()], &[]).text();
    let names: Vec<String> = pod
        .kubernetes
        .backups()
        .iter()
        .map(|o| o["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    let of =
        |manifest: &agentfs_contract::manifest::Manifest| record::name("memory", manifest.id());
    let left = [of(&lost), of(&read(&manifests[1])), of(&read(&newest)), "of-another".to_owned()];
    assert_eq!(names, left);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_a_pruned_backup_goes() {
    let pod = Pod::start().await;
    pod.back_up(&[], &[]).text();
    age(&pod.backups.files(".manifest.json")[0], 400);
    let first = pod.only();
    pod.back_up(&["--keep-last", "1"], &[]).text();
    assert_ne!(pod.only()["metadata"]["name"], first["metadata"]["name"]);
    assert_eq!(facts(&pod.only()).id, pod.backups.manifest().id());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_somebody_asked_for_is_verified_at_once_and_has_one_record() {
    let pod = Pod::start().await;
    pod.kubernetes.ask_for_backup("before-upgrade", "memory");
    let asked = [("AGENTFS_RECORD", "before-upgrade")];
    let said = pod.back_up(&["--verify", "restore", "--output", "json"], &asked).json();
    assert_eq!(said["verification"]["level"], "restore", "{said}");
    let record = pod.only();
    assert_eq!(record["metadata"]["name"], "before-upgrade");
    let (backup, verified) = (facts(&record), found(&record).unwrap());
    assert_eq!((&*verified.verified, &*verified.level), ("True", "Restore"));
    let report = pod.report();
    assert_eq!((report.backup, report.verification), (Some(backup), Some(verified)));
    // A run of the schedule finds it, and makes no other.
    pod.run(&["catalog", "sync"], &[]).text();
    assert_eq!(pod.only()["metadata"]["name"], "before-upgrade");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_recorded_before_it_is_verified() {
    let pod = Pod::start().await;
    let killed = pod.back_up(&["--verify", "restore"], &[("AGENTFS_FAULT_POINT", "fetched")]);
    assert_eq!(killed.code, None, "{killed:?}");
    let record = pod.only();
    assert_eq!((&*facts(&record).id, found(&record)), (pod.backups.manifest().id(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_does_not_restore_fails_and_stays() {
    let pod = Pod::start().await;
    // A pg_restore that cannot read it, as it would a dump that was damaged on its way.
    let (real, bin) = (shared().programs(), TempDir::new().unwrap());
    for program in fs::read_dir(real).unwrap().map(|program| program.unwrap()) {
        if program.file_name() != "pg_restore" {
            symlink(program.path(), bin.path().join(program.file_name())).unwrap();
        }
    }
    let script = format!(
        "#!/bin/sh\ncase $1 in --version) exec {}/pg_restore --version;; esac\n\
         echo 'pg_restore: error: could not read from input file: end of file' >&2\nexit 1\n",
        real.display()
    );
    let pg_restore = bin.path().join("pg_restore");
    fs::write(&pg_restore, script).unwrap();
    fs::set_permissions(&pg_restore, fs::Permissions::from_mode(0o755)).unwrap();
    let bin = bin.path().to_str().unwrap();
    let said = pod.back_up(&["--pg-bin", bin, "--verify", "archive"], &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("is made, and it is not good"), "{said:?}");
    assert!(said.out.contains("Backup complete") && said.out.contains("not good"), "{said:?}");
    assert_eq!(facts(&pod.only()).id, pod.backups.manifest().id(), "the backup stays");
    let verdict = found(&pod.only()).unwrap();
    assert_eq!(&*verdict.verified, "False");
    assert!(verdict.message.as_deref().unwrap().contains("end of file"), "{verdict:?}");
    assert_eq!(pod.report().verification, Some(verdict));

    // What says nothing of the backup does not call it bad.
    let said = pod.back_up(&["--verify", "restore"], &[("BACKUP_SCRATCH_URL", "nowhere")]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("is complete, but it could not be verified"), "{said:?}");
    assert_eq!(pod.kubernetes.backups().len(), 2);
    assert_eq!(found(&pod.kubernetes.backups()[1]), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_without_records_is_a_backup() {
    let pod = Pod::start().await;
    let warnings = |said: &Said| {
        said.err.lines().filter(|line| line.contains("AgentFSBackups of memory")).count()
    };
    pod.kubernetes.cluster().refusal = Some(StatusCode::FORBIDDEN);
    let said = pod.back_up(&[], &[]);
    assert_eq!((said.code, warnings(&said)), (Some(0), 1), "{said:?}");
    assert!(said.err.contains("is forbidden") && said.err.contains("catalog sync"), "{said:?}");
    // Outside of a pod, and with an account that is not mounted.
    for (name, value) in [("KUBERNETES_SERVICE_PORT", "1"), ("AGENTFS_SERVICE_ACCOUNT", "/nowhere")]
    {
        let said = pod.back_up(&[], &[(name, value)]);
        assert_eq!((said.code, warnings(&said)), (Some(0), 1), "{name}: {said:?}");
    }
    let said = pod.run(&["catalog", "sync"], &[]);
    assert_eq!(said.code, Some(1), "it is there for nothing else: {said:?}");
    pod.kubernetes.cluster().refusal = Some(StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(pod.run(&["catalog", "sync"], &[]).code, Some(75));
    pod.kubernetes.cluster().refusal = None;
    // The next run mends it.
    pod.back_up(&["--unless-newer-than", "1h"], &[]).text();
    assert_eq!(pod.kubernetes.backups().len(), 3);
    // Without the name of an AgentFS there is no cluster to write to.
    let before = pod.kubernetes.cluster().requests.len();
    pod.back_up(&[], &[("AGENTFS_RECORDS_OF", "")]).text();
    assert_eq!(pod.kubernetes.cluster().requests.len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_of_the_schedule_has_a_record_and_one_that_was_asked_for_has_its_own() {
    let (live, kubernetes) = (Live::start().await, Kubernetes::start().await);
    live.run(&["backup"], &[]).text();
    let own = kubernetes.variables();
    let pod: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, &**value)).collect();
    // What may go better is not over.
    let said = live.drill_with(&["--deadline", "1ms"], &pod);
    assert_eq!((said.code, kubernetes.objects("agentfsdrills").len()), (Some(75), 0), "{said:?}");
    let stamps: Vec<String> = (0..20).map(|n| format!("202101{:02}_040000", n + 1)).collect();
    for stamp in &stamps {
        let object = json!({"kind": "AgentFSDrill", "metadata": {"name": record::name("memory", stamp)},
                            "spec": {"agentFS": "memory", "recordOf": stamp}});
        let created = kubernetes.cluster().create("agentfsdrills", object);
        assert_eq!(created.status(), StatusCode::CREATED);
    }
    let said = live.drill_with(&["--rpo", "26h", "--rto", "1ms"], &pod);
    assert_eq!(said.code, Some(1), "{said:?}");
    let mut drills = kubernetes.objects("agentfsdrills");
    assert_eq!((drills.len(), &drills[0]["spec"]["recordOf"]), (20, &json!(stamps[1])));
    let drill = drills.pop().unwrap();
    let (spec, status) = (&drill["spec"], &drill["status"]);
    let stamp = spec["recordOf"].as_str().unwrap();
    assert_eq!(drill["metadata"]["name"], record::name("memory", stamp));
    assert_eq!((&status["result"], &status["objectives"]), (&json!("Failed"), &json!("missed")));
    assert!(status["rpoSeconds"].as_i64().unwrap() > 0, "{status}");
    assert!(status["rto"].as_str().unwrap().ends_with('s'), "{status}");
    assert!(status["steps"].as_array().unwrap().iter().any(|step| step["name"] == "load"));
    assert!(status["finishedTime"].is_string() && status["conditions"][0]["status"] == "False");
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(message.contains("--rto 0.0s is missed"), "{message}");

    let requested = [&pod[..], &[("AGENTFS_REQUEST", "AgentFSDrill/agents/now/0f3a")]].concat();
    assert_eq!(live.drill_with(&[], &requested).code, Some(0));
    assert_eq!(kubernetes.objects("agentfsdrills").len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_is_known_by_its_certificate_and_the_pod_by_its_token() {
    let kubernetes = Kubernetes::start().await;
    let variables = kubernetes.variables();
    let (port, account) = (&variables[1].1, &variables[2].1);
    let client = |folder: &str| Client::new("localhost", port, folder.into());
    assert_eq!(client(account).unwrap().list("agentfsbackups").await.unwrap(), [Value::Null; 0]);

    // Another certificate than that of the account.
    let another = Kubernetes::start().await;
    fs::write(format!("{account}/token"), "another").unwrap();
    let refused = client(account).unwrap().list("agentfsbackups").await.unwrap_err();
    assert_eq!(refused.status(), Some(401));
    assert!(!refused.is_transient() && !refused.to_string().contains("another"), "{refused}");
    let stranger = client(&another.variables()[2].1).unwrap();
    let silent = stranger.list("agentfsbackups").await.unwrap_err();
    assert!(matches!(&silent, KubernetesError::Silent(_)) && silent.is_transient(), "{silent}");

    // What is deleted is this very object.
    kubernetes.rotate("second");
    kubernetes.ask_for_backup("one", "memory");
    let client = client(account).unwrap();
    let refused = client.delete("agentfsbackups", "one", "uid-0").await.unwrap_err();
    assert_eq!(refused.status(), Some(409));
    client.delete("agentfsbackups", "one", "uid-1").await.unwrap();
    assert_eq!(kubernetes.backups(), [Value::Null; 0]);
}
