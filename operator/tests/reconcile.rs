//! Whole reconciles against an API server in memory.

use agentfs_operator::agentfs::reconcile::Error;
use serde_json::json;

use crate::world::{DEPLOYMENT, POOLER, RESOURCE, STATEFULSET, World};

#[tokio::test]
async fn a_new_resource_gets_its_children_in_order() {
    let world = World::new("minimal");
    let first = world.writes().await;
    let children: Vec<_> = first.iter().filter_map(|w| w.strip_prefix("PATCH ")).collect();
    assert_eq!(
        children,
        [
            "v1/serviceaccounts/memory-agentfs",
            "v1/secrets/memory-admin-key",
            "v1/secrets/memory-credentials",
            "v1/persistentvolumeclaims/data-memory-postgres-0",
            "v1/services/memory-postgres",
            "apps/v1/statefulsets/memory-postgres",
            "v1/secrets/memory-pooler",
            "v1/services/memory-pooler",
            "policy/v1/poddisruptionbudgets/memory-pooler",
            "apps/v1/deployments/memory-pooler",
            "apps/v1/deployments/memory-pooler/scale",
            "v1/services/memory-api",
            "policy/v1/poddisruptionbudgets/memory-api",
            "v1/persistentvolumeclaims/memory-backups",
            "v1/serviceaccounts/memory-recovery",
            "rbac.authorization.k8s.io/v1/roles/memory-recovery",
            "rbac.authorization.k8s.io/v1/rolebindings/memory-recovery",
            "agentfs.io/v1alpha1/agentfses/memory/status",
        ]
    );
    assert_eq!(world.said("SchemaReady").1, "AwaitingDatabase");
    assert_eq!(world.said("Ready").0, "False");

    world.database_is_ready();
    let second = world.writes().await;
    // Now it is known which database is backed up.
    for run in ["backup", "verify", "drill"] {
        let write = format!("PATCH batch/v1/cronjobs/memory-{run}");
        assert!(second.contains(&write), "{second:?}");
    }
    assert!(
        second.iter().any(|w| w.starts_with("PATCH batch/v1/jobs/memory-migrate-")),
        "{second:?}"
    );
    assert!(world.server.get(DEPLOYMENT).is_none(), "the API was there before its schema");

    world.end_job("Complete", "2026-11-23T14:00:00Z");
    world.reconcile().await.unwrap();
    assert!(world.server.get(DEPLOYMENT).is_some());
    world.pods_are_ready(3);
    world.rolled_out(POOLER, 2);
    let last = world.writes().await;
    assert_eq!(
        last,
        ["PATCH agentfs.io/v1alpha1/agentfses/memory/status", "POST events.k8s.io/v1/events"]
    );
    assert_eq!(world.said("Ready").1, "Ready");
    assert_eq!(world.said("Progressing").0, "False");
    assert_eq!(world.server.get(RESOURCE).unwrap()["status"]["api"]["summary"], "3/3");
}

#[tokio::test]
async fn in_a_namespace_that_is_deleted_it_makes_nothing_and_says_nothing() {
    let world = World::settled("minimal").await;
    world.server.remove("v1/services/memory-api");
    world.server.remove(DEPLOYMENT);
    world.server.refuse_as_its_namespace_ends("v1/services/memory-api");
    assert_eq!(world.writes().await, ["PATCH v1/services/memory-api"]);
    assert_eq!(world.said("Ready").0, "True");
}

#[tokio::test]
async fn at_rest_nothing_is_written() {
    let world = World::settled("full").await;
    for _ in 0..3 {
        assert_eq!(world.writes().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn drift_is_repaired_and_what_others_added_stays() {
    let world = World::settled("minimal").await;
    world.server.change(
        DEPLOYMENT,
        &json!({"metadata": {"annotations": {"theirs": "1"}},
                "spec": {"revisionHistoryLimit": 1, "paused": true}}),
    );
    assert_eq!(world.writes().await[0], format!("PATCH {DEPLOYMENT}"));
    let deployment = world.server.get(DEPLOYMENT).unwrap();
    assert_eq!(deployment["spec"]["revisionHistoryLimit"], 3);
    assert_eq!(deployment["spec"]["paused"], true);
    assert_eq!(deployment["metadata"]["annotations"]["theirs"], "1");

    world.server.remove("v1/services/memory-api");
    assert_eq!(world.writes().await, ["PATCH v1/services/memory-api"]);
}

#[tokio::test]
async fn secrets_are_kept_and_a_lost_one_is_made_anew() {
    let world = World::settled("minimal").await;
    let secret = "v1/secrets/memory-credentials";
    let before = world.server.get(secret).unwrap();
    let hash = |world: &World| {
        let set = world.server.get(STATEFULSET).unwrap();
        set["spec"]["template"]["metadata"]["annotations"]["agentfs.io/secret-hash"].clone()
    };
    let rolled = hash(&world);
    world.reconcile().await.unwrap();
    assert_eq!(world.server.get(secret).unwrap(), before);
    world.server.remove(secret);
    world.reconcile().await.unwrap();
    let after = world.server.get(secret).unwrap();
    assert_ne!(after["data"]["password"], before["data"]["password"]);
    assert_ne!(hash(&world), rolled, "PostgreSQL would go on with the password that is lost");
}

#[tokio::test]
async fn without_an_account_of_ours_no_pod_is_made() {
    let world = World::new("minimal");
    let account = "v1/serviceaccounts/memory-agentfs";
    let foreign =
        json!({"metadata": {"name": "memory-agentfs", "namespace": "agents", "uid": "theirs"}});
    world.server.put(account, foreign.clone());
    world.reconcile().await.unwrap();
    assert_eq!(world.said("CredentialsReady").1, "NameTaken");
    assert_eq!(world.server.get(account).unwrap(), foreign);
    let workloads =
        ["apps/v1/deployments", "apps/v1/statefulsets", "batch/v1/jobs", "batch/v1/cronjobs"];
    for collection in workloads {
        assert_eq!(world.server.names(collection), Vec::<String>::new(), "{collection}");
    }
    world.server.remove(account);
    world.settle().await;
}

#[tokio::test]
async fn foreign_objects_are_not_touched() {
    let world = World::new("minimal");
    let foreign = json!({"metadata": {"name": "memory-api", "namespace": "agents",
        "ownerReferences": [{"apiVersion": "v1", "kind": "Shop", "name": "till", "uid": "x",
                             "controller": true}]},
        "spec": {"ports": []}});
    world.server.put("v1/services/memory-api", foreign.clone());
    let writes = world.writes().await;
    assert!(!writes.contains(&"PATCH v1/services/memory-api".to_owned()), "{writes:?}");
    let (status, reason, message) = world.said("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "NameTaken"));
    assert!(
        message.starts_with("Service memory-api already exists and belongs to Shop till (since 20"),
        "{message}"
    );
    assert_eq!(world.said("APIReady").1, "NameTaken");
    assert!(world.server.get(STATEFULSET).is_some(), "one name that is taken stopped the others");
    assert_eq!(world.server.get("v1/services/memory-api").unwrap()["spec"], foreign["spec"]);
    world.reconcile().await.unwrap();
    assert_eq!(world.writes().await, Vec::<String>::new(), "the same failure was told twice");

    world.server.remove("v1/services/memory-api");
    world.reconcile().await.unwrap();
    assert!(world.server.get("v1/services/memory-api").is_some(), "it did not go on by itself");
}

#[tokio::test]
async fn a_volume_of_somebody_else_is_not_used() {
    let world = World::new("minimal");
    let volume = "v1/persistentvolumeclaims/data-memory-postgres-0";
    world.server.put(volume, json!({"metadata": {"name": "data-memory-postgres-0"}, "spec": {}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("DatabaseReady").1, "NameTaken");
    assert!(world.server.get(STATEFULSET).is_none(), "PostgreSQL would work on others' data");
    assert!(world.server.get("v1/services/memory-api").is_some());
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_neither_used_nor_made_anew() {
    let world = World::new("minimal");
    let secret = "v1/secrets/memory-credentials";
    let foreign = json!({"metadata": {"name": "memory-credentials", "namespace": "agents"},
                         "data": {"password": "c2VjcmV0"}});
    world.server.put(secret, foreign.clone());
    let writes = world.writes().await;
    assert!(!writes.contains(&format!("PATCH {secret}")), "{writes:?}");
    assert_eq!(world.said("CredentialsReady").1, "NameTaken");
    assert_eq!(world.server.get(secret).unwrap()["data"], foreign["data"]);
    assert!(world.server.get(STATEFULSET).is_none());
    assert!(world.server.get("v1/secrets/memory-admin-key").is_some());
}

#[tokio::test]
async fn an_admin_key_of_somebody_else_leaves_the_migration_that_is_done() {
    let world = World::settled("minimal").await;
    let (job, api) = (world.job(), world.server.get(DEPLOYMENT));
    let foreign = json!({"metadata": {"name": "memory-admin-key"}, "data": {"key": "eA=="}});
    world.server.put("v1/secrets/memory-admin-key", foreign);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("CredentialsReady").1, "NameTaken");
    assert_eq!((world.job(), world.server.get(DEPLOYMENT)), (job, api));
    assert_eq!(world.said("SchemaReady").1, "AwaitingCredentials");
}

#[tokio::test]
async fn a_broken_secret_leaves_what_runs_alone_and_holds_up_nothing_else() {
    let world = World::settled("minimal").await;
    let (secret, api) = ("v1/secrets/memory-credentials", "v1/services/memory-api");
    let (set, deployment) = (world.server.get(STATEFULSET), world.server.get(DEPLOYMENT));
    let whole = world.server.get(secret).unwrap();
    world.server.change(secret, &json!({"data": {"password": null}}));
    world.server.remove(api);
    world.reconcile().await.unwrap();
    let (status, reason, message) = world.said("CredentialsReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "CredentialsUnusable"));
    assert!(
        message.starts_with("Secret memory-credentials lacks the key password (since "),
        "{message}"
    );
    assert_eq!(world.said("APIReady").0, "True", "the API serves on");
    assert_eq!((world.server.get(STATEFULSET), world.server.get(DEPLOYMENT)), (set, deployment));
    assert!(world.server.get(api).is_some(), "the Service was not made again");

    world.server.change(secret, &json!({"data": whole["data"]}));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").0, "True");
}

#[tokio::test]
async fn a_failed_migration_is_told_tried_again_and_holds_the_rollout_back() {
    let world = World::settled("minimal").await;
    world.upgrade_at_once("agentfs/server:2.0.0");
    world.reconcile().await.unwrap();
    let job = world.job();
    let name = job.rsplit('/').next().unwrap();
    world.server.put(
        &format!("v1/pods/{name}-abcde"),
        json!({"metadata": {"name": format!("{name}-abcde"), "namespace": "agents", "labels": {
            "app.kubernetes.io/managed-by": "agentfs-operator",
            "app.kubernetes.io/instance": "memory",
            "app.kubernetes.io/component": "migration",
            "batch.kubernetes.io/job-name": name}},
            "status": {"phase": "Failed", "containerStatuses": [{"name": "migrate", "ready": false,
                "image": "agentfs/server:2.0.0", "imageID": "", "restartCount": 0,
                "state": {"terminated": {"exitCode": 1,
                    "message": "the schema has version 9, this image knows 7: use a newer image."}}}]}}),
    );
    world.end_job("Failed", &jiff::Timestamp::now().to_string());
    let writes = world.writes().await;
    assert!(writes.contains(&"POST events.k8s.io/v1/events".to_owned()), "{writes:?}");
    let (status, reason, message) = world.said("SchemaReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "MigrationFailed"));
    assert!(
        message.starts_with(
            "The migration of the schema failed: the schema has version 9, this image knows 7: use a \
             newer image (since "
        ),
        "{message}"
    );
    assert_eq!(world.said("Ready").1, "MigrationFailed");
    assert_eq!(world.said("APIReady").0, "True");
    let image = |world: &World| {
        let deployment = world.server.get(DEPLOYMENT).unwrap();
        deployment["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(image(&world), "agentfs/server:1.0.0");
    assert_eq!(world.writes().await, Vec::<String>::new());

    // Its pause is over: the next try is made, and the failed Job stays to say why.
    let failed = json!([{"type": "Failed", "status": "True",
                         "lastTransitionTime": "2020-01-01T00:00:00Z"}]);
    world.server.change(&job, &json!({"status": {"conditions": failed}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.server.names("batch/v1/jobs"), [name.to_owned(), format!("{name}-2")]);
    assert_eq!(world.said("SchemaReady").1, "MigrationFailed");

    let done = json!({"status": {"conditions": [
        {"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-23T15:00:00Z"}]}});
    world.server.change(&format!("{job}-2"), &done);
    world.reconcile().await.unwrap();
    assert_eq!(image(&world), "agentfs/server:2.0.0");
    assert_eq!(world.server.names("batch/v1/jobs"), [format!("{name}-2")]);
}

#[tokio::test]
async fn a_refusal_of_the_api_server_is_told() {
    let world = World::new("minimal");
    let volume = "v1/persistentvolumeclaims/data-memory-postgres-0";
    world.server.refuse(volume, 403, "exceeded quota: small, requested: storage=10Gi");
    world.reconcile().await.unwrap();
    let (status, reason, message) = world.said("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "QuotaExceeded"));
    assert!(
        message.contains("Kubernetes refuses the PersistentVolumeClaim data-memory-postgres-0")
    );
    assert!(world.server.get(STATEFULSET).is_none());
    assert!(world.server.get("v1/services/memory-api").is_some(), "the others were not made");
    assert_eq!(world.writes().await, [format!("PATCH {volume}")], "it was told twice");
}

#[tokio::test]
async fn pods_that_are_refused_are_told_with_their_part_and_its_field() {
    let world = World::new("minimal");
    let limits = json!({"limits": {"cpu": 1, "memory": "256Mi"}});
    world.server.change(RESOURCE, &json!({"spec": {"api": {"resources": limits}}}));
    world.reconcile().await.unwrap();
    world.database_is_ready();
    world.reconcile().await.unwrap();
    let job = world.job();
    let resources = |job: &str| {
        let job = world.server.get(job).unwrap();
        job["spec"]["template"]["spec"]["containers"][0]["resources"].clone()
    };
    assert_eq!(resources(&job), json!({"limits": {"cpu": "1", "memory": "256Mi"}}));

    let said = "pods \"x-1\" is forbidden: failed quota: q: must specify requests.cpu for: migrate";
    let event = json!({"metadata": {"name": "e"}, "reason": "FailedCreate", "message": said,
        "involvedObject": {"name": job.rsplit('/').next().unwrap()}});
    world.server.put("v1/events/e", event);
    world.reconcile().await.unwrap();
    let (status, reason, message) = world.said("SchemaReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "PodsRefused"));
    assert!(
        message.starts_with("Kubernetes refuses the pods of the migration: failed quota: q: must")
            && message.contains("in spec.migration.resources or spec.api.resources"),
        "{message}"
    );

    let own = json!({"requests": {"cpu": "10m"}, "limits": {"cpu": 1}});
    world.server.change(RESOURCE, &json!({"spec": {"migration": {"resources": own}}}));
    world.reconcile().await.unwrap();
    let own = json!({"requests": {"cpu": "10m"}, "limits": {"cpu": "1"}});
    assert_eq!(resources(&world.job()), own, "the Job of before is gone");
}

#[tokio::test]
async fn secrets_that_are_refused_hold_up_what_needs_them() {
    let world = World::new("minimal");
    world.server.refuse("v1/secrets/memory-credentials", 403, "exceeded quota: secrets=0");
    world.reconcile().await.unwrap();
    assert_eq!(world.said("CredentialsReady").1, "QuotaExceeded");
    assert!(world.server.get(STATEFULSET).is_none(), "its password would change every time");
}

#[tokio::test]
async fn a_conflict_is_an_error_that_is_tried_again() {
    let world = World::new("minimal");
    world.server.refuse("v1/services/memory-postgres", 409, "the object has been modified");
    assert!(matches!(world.reconcile().await, Err(Error::Apply(_))));
}

#[tokio::test]
async fn a_resource_that_is_deleted_is_left_alone() {
    let world = World::new("minimal");
    let leaving = json!({"metadata": {"deletionTimestamp": "2026-11-23T14:02:11Z"}});
    world.server.change(RESOURCE, &leaving);
    assert_eq!(world.writes().await, Vec::<String>::new());
    world.server.remove(RESOURCE);
    assert_eq!(world.writes().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_resource_made_again_finds_its_data_and_its_password() {
    let world = World::settled("minimal").await;
    let paths =
        ["v1/secrets/memory-credentials", "v1/persistentvolumeclaims/data-memory-postgres-0"];
    let kept = paths.map(|path| world.server.get(path).unwrap());
    for object in &kept {
        assert!(object["metadata"].get("ownerReferences").is_none(), "{object} would be deleted");
    }
    let again = World::new("full");
    for (path, object) in paths.into_iter().zip(&kept) {
        again.server.put(path, object.clone());
    }
    again.reconcile().await.unwrap();
    let secret = again.server.get(paths[0]).unwrap();
    assert_eq!(secret["data"]["password"], kept[0]["data"]["password"]);
}

#[tokio::test]
async fn the_reason_of_a_pod_that_is_not_ready_is_its_own() {
    let world = World::settled("minimal").await;
    world.pod_is_not_ready("memory-api-1", "api");
    let stuck = json!({"status": {"replicas": 4, "readyReplicas": 3, "updatedReplicas": 1}});
    world.server.change(DEPLOYMENT, &stuck);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").0, "True", "the old pods serve on");
    let (status, reason, message) = world.said("Progressing");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "DatabaseUnreachable"));
    assert!(message.starts_with("Cannot reach memory-postgres:5432 (connection refused) (since "));

    world.server.change(DEPLOYMENT, &json!({"status": {"readyReplicas": 0}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").1, "DatabaseUnreachable");
    assert_eq!(world.server.get(RESOURCE).unwrap()["status"]["api"]["summary"], "0/3");
}
