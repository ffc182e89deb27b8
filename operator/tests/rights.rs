//! The rights that the chart's role grants are those that the code uses: no fewer, and no more.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use agentfs_operator::agentfs::watches;
use agentfs_operator::crd::{AgentFSBackup, AgentFSDrill, AgentFSRestore};
use agentfs_operator::kit::watches::Scope;
use agentfs_operator::process::rights;
use agentfs_operator::task::{self, Task};
use futures::StreamExt as _;
use kube::Resource;
use kube::runtime::controller::{Action, Controller};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api_server::{ApiServer, Asked};
use crate::tasks::world::{Tasks, hours_ago, path};
use crate::world::{DEPLOYMENT, RESOURCE, STATEFULSET, World};

fn granted(is_watch: bool) -> BTreeSet<Asked> {
    let mut all = BTreeSet::new();
    for right in rights::RIGHTS {
        for resource in right.resources {
            for verb in right.verbs.iter().filter(|verb| (**verb == "watch") == is_watch) {
                all.insert((right.group.to_owned(), (*resource).to_owned(), *verb));
            }
        }
    }
    all
}

/// Everything that a watch asks for: it lists first.
async fn watched() -> BTreeSet<Asked> {
    let server = ApiServer::default();
    let stop = CancellationToken::new();
    let client = server.client();
    let (services, _store) = watches::start("", 1, &client, stop.clone());
    let scope = Scope { client: &client, namespace: "" };
    let mut running = JoinSet::new();
    running.spawn(run(services));
    running.spawn(run(task::controller::watches::<AgentFSBackup>(&scope, 1, stop.clone())));
    running.spawn(run(task::controller::watches::<AgentFSDrill>(&scope, 1, stop.clone())));
    running.spawn(run(task::controller::watches::<AgentFSRestore>(&scope, 1, stop.clone())));
    let wanted = granted(true);
    // Each is begun at once; the count only ends a test that would wait for ever.
    for _ in 0..3000 {
        if wanted.is_subset(&server.asked()) {
            break;
        }
        assert!(running.try_join_next().is_none(), "a controller ended");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.shutdown().await;
    server.asked()
}

/// Runs a controller that does nothing when it is woken.
async fn run<K>(controller: Controller<K>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let reconcile = |_: Arc<K>, _: Arc<()>| async { Ok::<_, Infallible>(Action::await_change()) };
    let policy = |_: Arc<K>, _: &Infallible, _: Arc<()>| Action::await_change();
    controller.run(reconcile, policy, Arc::new(())).for_each(|_| async {}).await;
}

/// The life of a task, from its wait to the end of its time.
async fn carried_out<T: Task>(tasks: &Tasks, name: &str, more: &Value) {
    let job = format!("{name}-{}", T::WHAT);
    let mut spec = json!({"agentFS": "memory", "ttlSecondsAfterFinished": 7200});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    tasks.create::<T>(name, &spec, 0);
    tasks.reconcile::<T>(name).await;
    let stuck = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/1 nodes are available"}]});
    tasks.pod(&job, "a", &stuck);
    tasks.reconcile::<T>(name).await;
    tasks.server.change(RESOURCE, &json!({"spec": {"suspend": true}}));
    tasks.reconcile::<T>(name).await;
    tasks.server.change(RESOURCE, &json!({"spec": {"suspend": false}}));
    tasks.reconcile::<T>(name).await;
    tasks.ends(&job, 0, "");
    tasks.reconcile::<T>(name).await;
    for hours in [1, 2] {
        let finished = json!({"status": {"finishedTime": hours_ago(hours)}});
        tasks.server.change(&path::<T>(name), &finished);
        tasks.reconcile::<T>(name).await;
    }
    assert!(tasks.server.get(&path::<T>(name)).is_none());
}

/// A life in which everything happens that the operator does something about.
async fn lived() -> BTreeSet<Asked> {
    let world = World::settled("full").await;
    let spec = |spec: &Value| world.server.change(RESOURCE, &json!({"spec": spec}));
    world.server.change(DEPLOYMENT, &json!({"spec": {"replicas": 7}}));
    spec(&json!({"api": {"autoscaling": null}}));
    world.reconcile().await.unwrap();
    let claim = "v1/persistentvolumeclaims/data-memory-postgres-0";
    world.server.change(claim, &json!({"status": {"phase": "Bound"}}));
    spec(&json!({"database": {"embedded": {"storage": {"size": "60Gi"}}}}));
    world.reconcile().await.unwrap();
    // A backup is made before an upgrade.
    spec(&json!({"image": "agentfs/server:2.0.0"}));
    world.reconcile().await.unwrap();
    spec(&json!({"suspend": true}));
    world.reconcile().await.unwrap();
    spec(&json!({"suspend": false, "api": {"autoscaling": null, "replicas": 1, "extraEnv": []},
                 "pooler": {"enabled": false}, "backup": {"enabled": false}, "image": "agentfs/server:3.0.0"}));
    world
        .server
        .change(STATEFULSET, &json!({"status": {"readyReplicas": 0}, "spec": {"replicas": 2}}));
    world.server.put(
        "v1/secrets/memory-db",
        json!({"metadata": {"name": "memory-db"},
        "data": {"DATABASE_URL": "cG9zdGdyZXM6Ly9hOmJAZGIvbQ=="}}),
    );
    spec(
        &json!({"database": {"embedded": null, "external": {"secretRef": {"name": "memory-db"}}}}),
    );
    world.reconcile().await.unwrap();
    world.end_job("Complete", "2026-11-23T15:00:00Z");
    world.reconcile().await.unwrap();
    world.pods_are_ready(1);
    world.reconcile().await.unwrap();
    assert!(world.server.get(STATEFULSET).is_none() && world.server.get(DEPLOYMENT).is_some());
    world.server.asked()
}

/// What the Role of the pods of backups gives them.
fn passed_on(server: &ApiServer) -> BTreeSet<Asked> {
    let role = server.get("rbac.authorization.k8s.io/v1/roles/memory-recovery").unwrap();
    let mut passed_on = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let texts = |key: &str| serde_json::from_value::<Vec<String>>(rule[key].clone()).unwrap();
        let verbs = texts("verbs");
        let known = ["get", "list", "create", "patch", "delete"];
        assert!(verbs.iter().all(|verb| known.contains(&verb.as_str())), "{verbs:?}");
        for resource in texts("resources") {
            for verb in known.into_iter().filter(|known| verbs.iter().any(|verb| verb == known)) {
                passed_on.insert((texts("apiGroups").remove(0), resource.clone(), verb));
            }
        }
    }
    passed_on
}

#[tokio::test]
async fn the_role_grants_what_is_used() {
    let mut used = watched().await;
    used.extend(lived().await);
    // Nobody may grant what they do not have.
    let world = World::settled("minimal").await;
    let passed_on = passed_on(&world.server);
    assert!(!passed_on.is_empty());
    used.extend(passed_on);
    let tasks = Tasks::new();
    carried_out::<AgentFSBackup>(&tasks, "a", &json!({})).await;
    carried_out::<AgentFSDrill>(&tasks, "b", &json!({})).await;
    let schema = json!({"type": "SchemaReady", "status": "True", "reason": "Migrated", "message": "x",
                        "lastTransitionTime": "2026-11-23T14:00:00Z"});
    tasks.server.change(RESOURCE, &json!({"status": {"conditions": [schema]}}));
    let deleted = json!({"agentFS": "memory", "deletionPolicy": "Delete"});
    tasks.create::<AgentFSBackup>("d", &deleted, 0);
    tasks.reconcile::<AgentFSBackup>("d").await;
    let going = json!({"metadata": {"deletionTimestamp": hours_ago(0)}});
    tasks.server.change(&path::<AgentFSBackup>("d"), &going);
    for _ in ["it is cancelled", "it goes"] {
        tasks.reconcile::<AgentFSBackup>("d").await;
    }
    assert!(tasks.server.get(&path::<AgentFSBackup>("d")).is_none());
    let latest = json!({"source": {"latest": true}, "target": {"inPlace": {}}});
    carried_out::<AgentFSRestore>(&tasks, "c", &latest).await;
    used.extend(tasks.server.asked());
    let all: BTreeSet<_> = granted(true).union(&granted(false)).cloned().collect();
    let missing: Vec<_> = used.difference(&all).collect();
    assert!(missing.is_empty(), "src/process/rights.rs does not grant {missing:?}");
    let idle: Vec<_> = all.difference(&used).collect();
    assert!(idle.is_empty(), "src/process/rights.rs grants what is not used: {idle:?}");
}

#[test]
fn the_chart_has_the_rights_of_the_table() {
    let path =
        format!("{}/../charts/agentfs-operator/files/rules.yaml", env!("CARGO_MANIFEST_DIR"));
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == rights::to_yaml(),
        "{path} is not what src/process/rights.rs says; run `make generate`"
    );
    let rules: Value = serde_yaml_ng::from_str(&kept).unwrap();
    assert_eq!(rules.as_array().unwrap().len(), rights::RIGHTS.len());
}
