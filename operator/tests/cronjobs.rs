//! What is made so that an AgentFS can be recovered: where backups go, how they are encrypted, and the CronJobs that make and try them.

use serde_json::{Value, json};

use crate::world::{BACKUP, RESOURCE, World};

const VERIFY: &str = "batch/v1/cronjobs/memory-verify";
const DRILL: &str = "batch/v1/cronjobs/memory-drill";
const RUNS: [&str; 3] = [BACKUP, VERIFY, DRILL];
const ACCOUNT: &str = "v1/serviceaccounts/memory-recovery";
const ROLE: &str = "rbac.authorization.k8s.io/v1/roles/memory-recovery";
const BINDING: &str = "rbac.authorization.k8s.io/v1/rolebindings/memory-recovery";
const KEYS: &str = "v1/secrets/memory-s3";
const IDENTITY: &str = "v1/secrets/memory-age";

fn change_spec(world: &World, backup: &Value) {
    world.server.change(RESOURCE, &json!({"spec": {"backup": backup}}));
}

/// Puts a Secret with these entries, which are not looked at any further.
fn put_secret(world: &World, path: &str, entries: &[(&str, &str)]) {
    let data = entries.iter().map(|(key, text)| {
        let encoded = k8s_openapi::ByteString(text.as_bytes().to_vec());
        ((*key).to_owned(), serde_json::to_value(encoded).unwrap())
    });
    let data: serde_json::Map<String, Value> = data.collect();
    let name = path.rsplit('/').next().unwrap();
    world
        .server
        .put(path, json!({"metadata": {"name": name, "namespace": "agents"}, "data": data}));
}

fn keys(world: &World) {
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")];
    put_secret(world, KEYS, &keys);
}

fn bucket() -> Value {
    json!({"destination": {"s3": {"bucket": "backups", "secretRef": "memory-s3"}}})
}

fn job_of(world: &World, run: &str) -> Value {
    world.server.get(run).unwrap()["spec"]["jobTemplate"]["spec"].clone()
}

fn pod_of(world: &World, run: &str) -> Value {
    job_of(world, run)["template"]["spec"].clone()
}

/// The value of a variable of the pods; null where they have none.
fn variable(world: &World, run: &str, name: &str) -> Value {
    let variables = pod_of(world, run)["containers"][0]["env"].clone();
    let of = variables.as_array().unwrap().iter().find(|of| of["name"] == name);
    of.map_or(Value::Null, |of| of["value"].clone())
}

/// Where a volume is seen in the pods, and the volume.
fn volume(world: &World, run: &str, name: &str) -> (Value, Value) {
    let pod = pod_of(world, run);
    let named = |list: &Value| {
        let found = list.as_array().unwrap().iter().find(|of| of["name"] == name);
        found.cloned().unwrap_or_default()
    };
    let mount = named(&pod["containers"][0]["volumeMounts"]);
    (mount["mountPath"].clone(), named(&pod["volumes"]))
}

#[tokio::test]
async fn a_bucket_takes_the_place_of_the_volume_once_its_keys_are_there() {
    let world = World::new("minimal");
    change_spec(&world, &bucket());
    let world = world.arrived().await;
    let (status, reason, message) = world.said("BackupsScheduled");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "SecretMissing"));
    for part in [
        "Secret memory-s3, which spec.backup.destination.s3.secretRef names, does not exist",
        "kubectl create secret generic memory-s3 -n agents --from-literal=AWS_ACCESS_KEY_ID=example \
         --from-literal=AWS_SECRET_ACCESS_KEY=example",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(world.said("Available").0, "True", "nobody's memory waits for a bucket");
    assert!(RUNS.iter().all(|run| world.server.get(run).is_none()));

    put_secret(&world, KEYS, &[("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")]);
    world.reconcile().await.unwrap();
    let (_, reason, message) = world.said("BackupsScheduled");
    assert_eq!(reason, "CredentialsUnusable");
    assert!(message.contains("memory-s3 lacks the key AWS_SECRET_ACCESS_KEY"), "{message}");

    keys(&world);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").0, "True");
    assert!(world.server.get("v1/persistentvolumeclaims/memory-backups").is_none());
    for run in RUNS {
        assert_eq!(variable(&world, run, "BACKUP_LOCATION"), "s3://backups/agents/memory");
        let folder = variable(&world, run, "BACKUP_S3_CREDENTIALS_DIR");
        let (path, volume) = volume(&world, run, "bucket");
        assert_eq!((path, &volume["secret"]["secretName"]), (folder, &json!("memory-s3")));
        let manifest = world.server.get(run).unwrap().to_string();
        assert!(!manifest.contains("wJalrXUtnFEMI"), "a key is in a manifest");
    }
    assert_eq!(world.writes().await, Vec::<String>::new());

    // A Secret that goes is told of, and leaves what is there.
    let before = world.server.get(BACKUP);
    world.server.remove(KEYS);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("BackupsScheduled").1, "SecretMissing");
    assert_eq!(world.said("BackupFresh").1, "NoBackupYet");
    assert_eq!(world.server.get(BACKUP), before);
}

#[tokio::test]
async fn a_bucket_has_the_settings_that_the_spec_names_and_no_others() {
    let world = World::settled("minimal").await;
    let workload_identity = json!({"bucket": "b", "prefix": "p/q", "serviceAccountAnnotations": {
        "eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/memory"}});
    change_spec(&world, &json!({"destination": {"s3": workload_identity}}));
    world.reconcile().await.unwrap();
    assert_eq!(variable(&world, BACKUP, "BACKUP_LOCATION"), "s3://b/p/q");
    for unset in [
        "AWS_ENDPOINT_URL_S3",
        "AWS_REGION",
        "AWS_SERVER_SIDE_ENCRYPTION",
        "BACKUP_S3_CREDENTIALS_DIR",
        "BACKUP_S3_CA_FILE",
    ] {
        assert!(variable(&world, BACKUP, unset).is_null(), "{unset}");
    }
    let account = world.server.get(ACCOUNT).unwrap();
    let role = "arn:aws:iam::111122223333:role/memory";
    assert_eq!(account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"], role);

    let authority = json!({"name": "storage", "key": "ca.crt"});
    let certificates = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    put_secret(&world, "v1/secrets/storage", &[("ca.crt", certificates)]);
    change_spec(
        &world,
        &json!({"destination": {"s3": {
            "endpoint": "https://minio.storage.svc:9000", "region": "eu-1", "caSecretRef": authority,
            "serverSideEncryption": {"algorithm": "aws:kms", "kmsKeyId": "memory"}}}}),
    );
    world.reconcile().await.unwrap();
    for (name, value) in [
        ("AWS_ENDPOINT_URL_S3", "https://minio.storage.svc:9000"),
        ("AWS_REGION", "eu-1"),
        ("AWS_SERVER_SIDE_ENCRYPTION", "aws:kms"),
        ("AWS_SSE_KMS_KEY_ID", "memory"),
        ("BACKUP_S3_CA_FILE", "/etc/agentfs/bucket-authority/ca.crt"),
    ] {
        assert_eq!(variable(&world, VERIFY, name), value, "{name}");
    }
    assert_eq!(volume(&world, VERIFY, "bucket-authority").0, "/etc/agentfs/bucket-authority");
    put_secret(&world, "v1/secrets/storage", &[("ca.crt", "none")]);
    world.reconcile().await.unwrap();
    let (_, reason, message) = world.said("BackupsScheduled");
    assert_eq!(reason, "CredentialsUnusable");
    assert!(
        message.contains("Secret storage holds in its key ca.crt something that is not"),
        "{message}"
    );
}

#[tokio::test]
async fn what_is_encrypted_is_tried_only_where_something_decrypts_it() {
    let world = World::settled("minimal").await;
    let recipients = ["age1abc", "age1def"];
    change_spec(&world, &json!({"encryption": {"recipients": recipients}}));
    world.reconcile().await.unwrap();
    assert_eq!(variable(&world, BACKUP, "BACKUP_RECIPIENTS"), "age1abc,age1def");
    assert!([VERIFY, DRILL].iter().all(|run| world.server.get(run).is_none()));

    let identity = json!({"name": "memory-age", "key": "identity.txt"});
    let encryption = json!({"recipients": recipients, "identitySecretRef": identity});
    change_spec(&world, &json!({"encryption": encryption}));
    world.reconcile().await.unwrap();
    let (_, reason, message) = world.said("BackupsScheduled");
    assert_eq!(reason, "SecretMissing");
    let command =
        "kubectl create secret generic memory-age -n agents --from-file=identity.txt=identity.txt";
    assert!(message.contains(command), "{message}");
    assert!(variable(&world, BACKUP, "BACKUP_IDENTITY_FILE").is_null(), "it is left as it is");

    put_secret(&world, IDENTITY, &[("identity.txt", "AGE-SECRET-KEY-1EXAMPLE\n")]);
    world.reconcile().await.unwrap();
    for run in RUNS {
        let file = variable(&world, run, "BACKUP_IDENTITY_FILE");
        assert_eq!(file, "/etc/agentfs/identity/identity.txt");
        assert!(!world.server.get(run).unwrap().to_string().contains("AGE-SECRET-KEY"));
    }
}

/// Kubernetes gives a Job without labels those of its pods.
#[tokio::test]
async fn a_job_that_somebody_made_of_one_is_left_alone() {
    let world = World::settled("minimal").await;
    let mut job = job_of(&world, VERIFY);
    let labels = job["template"]["metadata"]["labels"].take();
    let path = "batch/v1/jobs/memory-verify-fllcc";
    let metadata = json!({"name": "memory-verify-fllcc", "namespace": "agents", "uid": "29", "labels": labels});
    world.server.put(path, json!({"metadata": metadata, "spec": job}));
    world.reconcile().await.unwrap();
    assert!(world.server.get(path).is_some());
}

#[tokio::test]
async fn the_three_differ_in_what_they_run_and_have_one_frame() {
    let world = World::settled("minimal").await;
    change_spec(
        &world,
        &json!({"keep": {"daily": 7, "monthly": 12}, "objectives": {"rpo": "26h", "rto": "15m"}}),
    );
    world.reconcile().await.unwrap();
    let arguments = |run| pod_of(&world, run)["containers"][0]["args"].clone();
    let of_backup =
        ["backup", "--retention-days=30", "--keep-last=3", "--keep-daily=7", "--keep-monthly=12"];
    assert_eq!(arguments(BACKUP), json!(of_backup));
    assert_eq!(arguments(VERIFY), json!(["verify", "--level=restore"]));
    assert_eq!(arguments(DRILL), json!(["drill", "--rpo=26h", "--rto=15m"]));
    let api = "http://memory-api.agents.svc:8787";
    assert_eq!(variable(&world, DRILL, "AGENTFS_URL"), api);
    let uid = world.server.get("v1/persistentvolumeclaims/data-memory-postgres-0").unwrap();
    for (run, schedule) in
        [(BACKUP, "0 2 * * *"), (VERIFY, "0 4 * * 0"), (DRILL, "0 4 1 1,4,7,10 *")]
    {
        let spec = world.server.get(run).unwrap()["spec"].clone();
        assert_eq!((&spec["schedule"], &spec["timeZone"]), (&json!(schedule), &json!("Etc/UTC")));
        assert_eq!(spec["concurrencyPolicy"], "Forbid");
        // Of the runs that were missed in three days the newest is no older than this, whatever the schedule.
        assert!(spec["startingDeadlineSeconds"].as_i64().unwrap() >= 3 * 24 * 3600, "{run}");
        let (job, pod) = (job_of(&world, run), pod_of(&world, run));
        assert_eq!(job["backoffLimit"], 12);
        assert!(job["activeDeadlineSeconds"].as_i64().unwrap() >= 6 * 3600);
        let rules = &job["podFailurePolicy"]["rules"];
        assert_eq!(rules[1]["onExitCodes"]["containerName"], pod["containers"][0]["name"]);
        // A pod that was killed goes on by itself as well.
        assert_eq!(rules[1]["onExitCodes"]["values"], json!([75, 137, 143, 255]));
        assert_eq!(pod["restartPolicy"], "Never");
        let account = (&pod["serviceAccountName"], &pod["automountServiceAccountToken"]);
        assert_eq!(account, (&json!("memory-recovery"), &json!(true)));
        assert_eq!(variable(&world, run, "AGENTFS_RECORDS_OF"), "memory");
        assert_eq!(variable(&world, run, "BACKUP_LOCATION"), "/backups");
        assert_eq!(variable(&world, run, "BACKUP_INSTANCE"), uid["metadata"]["uid"]);
    }
}

#[tokio::test]
async fn pods_pass_the_standard_restricted() {
    let world = World::settled("minimal").await;
    keys(&world);
    change_spec(&world, &bucket());
    world.reconcile().await.unwrap();
    for run in RUNS {
        let pod = pod_of(&world, run);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let container = pod["containers"][0]["securityContext"].clone();
        assert_eq!(container["allowPrivilegeEscalation"], false);
        assert_eq!(container["capabilities"], json!({"drop": ["ALL"]}));
        let allowed =
            ["configMap", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
        for volume in pod["volumes"].as_array().unwrap() {
            let kinds: Vec<_> =
                volume.as_object().unwrap().keys().filter(|key| *key != "name").collect();
            assert!(kinds.iter().all(|kind| allowed.contains(&kind.as_str())), "{volume}");
        }
    }
}

#[tokio::test]
async fn a_backup_is_tried_on_a_volume_that_is_large_enough() {
    let world = World::settled("minimal").await;
    let scratch = |run| {
        let (path, volume) = volume(&world, run, "tmp");
        assert_eq!(path, "/tmp");
        volume["ephemeral"]["volumeClaimTemplate"]["spec"].clone()
    };
    let size = |run| scratch(run)["resources"]["requests"]["storage"].clone();
    assert_eq!([size(VERIFY), size(DRILL)], ["2Gi", "2Gi"]);
    let record = |name: &str, at: &str, agentfs: &str, bytes: u64| {
        let path = format!("agentfs.io/v1alpha1/agentfsbackups/{name}");
        let labels = json!({"agentfs.io/agentfs": agentfs});
        world.server.put(
            &path,
            json!({"apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFSBackup",
                   "metadata": {"name": name, "namespace": "agents", "labels": labels},
                   "spec": {"agentFS": agentfs, "recordOf": name}, "status": {"backup": {
                       "id": name, "location": "/backups", "instance": "1-1-a", "scope": "Full", "snapshotTime": at,
                       "finishedTime": at, "duration": "1s", "size": "1Mi", "bytes": 1, "entries": 1,
                       "databaseBytes": bytes, "postgres": "17.5", "encrypted": false}}}),
        );
    };
    record("newest", "2026-11-23T02:00:00Z", "memory", (4 << 30) + 1);
    record("older", "2026-11-22T02:00:00Z", "memory", 9 << 30);
    record("other", "2026-11-24T02:00:00Z", "other", 99 << 30);
    world.reconcile().await.unwrap();
    assert_eq!([size(VERIFY), size(DRILL)], ["13Gi", "13Gi"]);
    assert_eq!(world.writes().await, Vec::<String>::new());
    change_spec(
        &world,
        &json!({"verify": {"storage": {"size": "20Gi", "storageClassName": "fast"}}}),
    );
    world.reconcile().await.unwrap();
    assert_eq!([size(VERIFY), size(DRILL)], ["20Gi", "20Gi"]);
    assert_eq!(scratch(VERIFY)["storageClassName"], "fast");
    assert!(volume(&world, BACKUP, "tmp").1["ephemeral"].is_null(), "a dump needs none");
}

#[tokio::test]
async fn verifications_and_drills_are_there_where_backups_are_and_the_spec_wants_them() {
    let world = World::settled("minimal").await;
    let there = || RUNS.map(|run| world.server.get(run).is_some());
    assert_eq!(there(), [true; 3]);
    for (backup, wanted) in [
        (json!({"verify": {"enabled": false}}), [true, false, true]),
        (json!({"drill": {"enabled": false}}), [true, false, false]),
        (json!({"verify": {"enabled": true}, "drill": {"enabled": true}}), [true; 3]),
        (json!({"enabled": false}), [false; 3]),
    ] {
        change_spec(&world, &backup);
        world.reconcile().await.unwrap();
        assert_eq!(there(), wanted, "{backup}");
    }
    for path in [ACCOUNT, ROLE, BINDING] {
        assert!(world.server.get(path).is_none(), "{path} is of no use any more");
    }
    assert_eq!(world.writes().await, Vec::<String>::new());
}

#[tokio::test]
async fn nothing_runs_while_the_spec_says_so() {
    for spec in [json!({"suspend": true}), json!({"backup": {"suspend": true}})] {
        let world = World::settled("minimal").await;
        world.server.change(RESOURCE, &json!({"spec": spec}));
        world.reconcile().await.unwrap();
        for run in RUNS {
            assert_eq!(world.server.get(run).unwrap()["spec"]["suspend"], true, "{run}: {spec}");
        }
    }
}

#[tokio::test]
async fn pods_keep_records_and_may_do_nothing_else() {
    let world = World::settled("minimal").await;
    let rules = world.server.get(ROLE).unwrap()["rules"].clone();
    let rules: Vec<_> = rules.as_array().unwrap().iter().collect();
    assert!(rules.iter().all(|rule| rule["apiGroups"] == json!(["agentfs.io"])), "{rules:?}");
    let text = json!(rules).to_string();
    assert!(!text.contains("restores") && !text.contains('*'), "{text}");
    let binding = world.server.get(BINDING).unwrap();
    assert_eq!(binding["roleRef"]["name"], "memory-recovery");
    let account =
        json!([{"kind": "ServiceAccount", "name": "memory-recovery", "namespace": "agents"}]);
    assert_eq!(binding["subjects"], account);
    // Of somebody else's account no pod is made.
    let other = World::new("minimal");
    other.server.put(ACCOUNT, json!({"metadata": {"name": "memory-recovery"}}));
    let other = other.arrived().await;
    assert_eq!(other.said("BackupsScheduled").1, "NameTaken");
    assert!(RUNS.iter().all(|run| other.server.get(run).is_none()));
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let world = World::settled("minimal").await;
    for (backup, said) in [
        (
            json!({"verify": {"schedule": "0 4 30 2 *"}}),
            "spec.backup.verify.schedule: \"0 4 30 2 *\": it is never due",
        ),
        (
            json!({"verify": {"schedule": "0 4 * * 0"}, "drill": {"schedule": "0 4 * * 5-1"}}),
            "spec.backup.drill.schedule: \"0 4 * * 5-1\": the day of the week",
        ),
        (
            json!({"drill": {"schedule": "0 4 1 1 *"}, "objectives": {"rpo": "30m1h"}}),
            "spec.backup.objectives.rpo: \"30m1h\" is not a duration",
        ),
        (
            json!({"objectives": {"rpo": "26h", "rto": "0s"}}),
            "spec.backup.objectives.rto: \"0s\" is not a duration",
        ),
        (
            json!({"objectives": {"rto": "1h30m"}, "verify": {"storage": {"size": "10GB"}}}),
            "spec.backup.verify.storage.size: \"10GB\" is not a size",
        ),
        (
            json!({"verify": {"storage": null, "resources": {"limits": {"memory": "512m"}}}}),
            "spec.backup.verify.resources: limits.memory \"512m\" is less than 16Mi",
        ),
    ] {
        change_spec(&world, &backup);
        world.reconcile().await.unwrap();
        let (status, reason, message) = world.said("Ready");
        assert_eq!((status.as_str(), reason.as_str()), ("False", "InvalidSpec"));
        assert!(message.starts_with(said), "{message}");
    }
}

#[tokio::test]
async fn a_suspended_agentfs_waits_for_a_drill_that_runs() {
    for component in ["verify", "drill"] {
        let world = World::settled("minimal").await;
        world.pod_is_not_ready("memory-run", component);
        world.server.change(RESOURCE, &json!({"spec": {"suspend": true}}));
        world.reconcile().await.unwrap();
        let replicas =
            || world.server.get(crate::world::STATEFULSET).unwrap()["spec"]["replicas"].clone();
        assert_ne!(replicas(), 0, "it uses the database");
        world.server.change("v1/pods/memory-run", &json!({"status": {"phase": "Succeeded"}}));
        world.reconcile().await.unwrap();
        assert_eq!(replicas(), 0);
    }
}
