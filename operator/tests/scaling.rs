//! How many pods there are: set by the spec through /scale, or by an autoscaler.

use agentfs_operator::agentfs::reconcile::Error;
use agentfs_operator::kit::desired::Desired;
use serde_json::{Value, json};

use crate::world::{DEPLOYMENT, RESOURCE, STATEFULSET, World};

const AUTOSCALER: &str = "autoscaling/v2/horizontalpodautoscalers/memory-api";
const BUDGET: &str = "policy/v1/poddisruptionbudgets/memory-api";

fn spec(world: &World, api: &Value) {
    world.server.change(RESOURCE, &json!({"spec": {"api": api}}));
}

async fn scales_of(world: &World) -> Vec<String> {
    world.writes().await.into_iter().filter(|write| write.ends_with("/scale")).collect()
}

#[tokio::test]
async fn the_number_of_pods_is_set_by_scale_alone() {
    let world = World::settled("minimal").await;
    assert_eq!(world.replicas(), 3);
    assert!(world.server.get(STATEFULSET).unwrap()["spec"]["replicas"].is_null(), "one is one");
    spec(&world, &json!({"replicas": 5}));
    assert_eq!(scales_of(&world).await, [format!("PATCH {DEPLOYMENT}/scale")]);
    assert_eq!(world.replicas(), 5);
    assert_eq!(world.server.get(RESOURCE).unwrap()["status"]["api"]["summary"], "3/5");

    for path in [DEPLOYMENT, STATEFULSET] {
        world.server.change(path, &json!({"spec": {"replicas": 9}}));
        assert_eq!(scales_of(&world).await, [format!("PATCH {path}/scale")], "drift stayed");
    }
    assert_eq!(world.server.get(STATEFULSET).unwrap()["spec"]["replicas"], 1);
    assert_eq!(scales_of(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_autoscaler_has_the_number_while_it_is_there() {
    let world = World::settled("minimal").await;
    spec(&world, &json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 8}}));
    world.reconcile().await.unwrap();
    assert!(world.server.get(AUTOSCALER).is_some());
    world.server.change(DEPLOYMENT, &json!({"spec": {"replicas": 7}}));
    assert_eq!(world.writes().await, ["PATCH agentfs.io/v1alpha1/agentfses/memory/status"]);
    assert_eq!(world.replicas(), 7);
    assert_eq!(world.server.get(RESOURCE).unwrap()["status"]["api"]["desired"], 7);

    // At 0 an autoscaler does nothing: somebody has to begin.
    world.server.change(DEPLOYMENT, &json!({"spec": {"replicas": 0}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.replicas(), 2);

    // One that goes leaves its number behind.
    world.server.change(DEPLOYMENT, &json!({"spec": {"replicas": 7}}));
    spec(&world, &json!({"autoscaling": null}));
    let writes = world.writes().await;
    let at = |write: &str| writes.iter().position(|w| w == write).unwrap();
    assert!(
        at(&format!("PATCH {RESOURCE}/scale")) < at(&format!("DELETE {AUTOSCALER}")),
        "{writes:?}"
    );
    for _ in 0..2 {
        assert_eq!((world.server.get(AUTOSCALER), world.replicas()), (None, 7));
        assert_eq!(world.server.get(RESOURCE).unwrap()["spec"]["api"]["replicas"], 7);
        world.reconcile().await.unwrap();
    }
}

#[tokio::test]
async fn an_autoscaler_whose_number_is_refused_stays_and_all_else_goes_on() {
    let world = World::settled("minimal").await;
    spec(&world, &json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 8}}));
    world.reconcile().await.unwrap();
    world.server.change(DEPLOYMENT, &json!({"spec": {"replicas": 7}}));
    let scale = format!("{RESOURCE}/scale");
    world.server.refuse(&scale, 503, "try again");
    spec(&world, &json!({"autoscaling": null, "podLabels": {"team": "memory"}}));
    assert!(matches!(world.reconcile().await, Err(Error::Scale(_))));
    for code in [403, 409, 422] {
        world.server.refuse(&scale, code, "denied the request: only Git changes it");
        for _ in 0..2 {
            world.reconcile().await.unwrap();
            let (status, reason, message) = world.said("Progressing");
            assert_eq!((status.as_str(), reason.as_str()), ("False", "ObjectRefused"));
            assert!(
                message.contains("spec.api.replicas: 7")
                    && message.contains("denied the request: only Git changes it"),
                "{message}"
            );
            assert_eq!((world.server.get(AUTOSCALER).is_some(), world.replicas()), (true, 7));
        }
    }
    let pods = &world.server.get(DEPLOYMENT).unwrap()["spec"]["template"];
    assert_eq!(pods["metadata"]["labels"]["team"], "memory", "all else goes on");

    // Who says a number has it.
    spec(&world, &json!({"replicas": 6}));
    world.reconcile().await.unwrap();
    assert_eq!((world.server.get(AUTOSCALER), world.replicas()), (None, 6));
    assert_ne!(world.said("Progressing").1, "ObjectRefused");
}

#[tokio::test]
async fn who_turns_autoscaling_off_may_say_a_number_as_well() {
    let world = World::settled("minimal").await;
    spec(&world, &json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 8}}));
    world.reconcile().await.unwrap();
    world.server.change(DEPLOYMENT, &json!({"spec": {"replicas": 7}}));
    spec(&world, &json!({"autoscaling": null, "replicas": 5}));
    let writes = world.writes().await;
    let at = |write: &str| writes.iter().position(|w| w == write).unwrap();
    assert!(
        at(&format!("DELETE {AUTOSCALER}")) < at(&format!("PATCH {DEPLOYMENT}/scale")),
        "{writes:?}"
    );
    assert_eq!((world.server.get(AUTOSCALER), world.replicas()), (None, 5));
}

#[tokio::test]
async fn an_autoscaler_of_somebody_else_has_the_number_as_well() {
    let world = World::settled("minimal").await;
    let theirs = "autoscaling/v2/horizontalpodautoscalers/keda";
    let target = json!({"kind": "Deployment", "name": "memory-api"});
    world.server.put(
        theirs,
        json!({"metadata": {"name": "keda"}, "spec": {"scaleTargetRef": target, "maxReplicas": 9}}),
    );
    world.server.change(DEPLOYMENT, &json!({"spec": {"replicas": 6}}));
    assert_eq!(scales_of(&world).await, Vec::<String>::new());
    assert!(world.server.get(theirs).is_some());
    world.server.remove(theirs);
    assert_eq!(scales_of(&world).await, [format!("PATCH {DEPLOYMENT}/scale")]);
}

#[tokio::test]
async fn an_autoscaler_of_somebody_else_is_theirs_by_whatever_name() {
    let world = World::settled("minimal").await;
    // What `kubectl autoscale deployment memory-api` makes.
    let target = json!({"kind": "Deployment", "name": "memory-api"});
    let theirs = json!({"metadata": {"name": "memory-api", "namespace": "agents", "uid": "theirs"},
        "spec": {"scaleTargetRef": target, "minReplicas": 4, "maxReplicas": 5}});
    world.server.put(AUTOSCALER, theirs.clone());
    world.server.change(DEPLOYMENT, &json!({"spec": {"replicas": 4}}));
    assert_eq!(scales_of(&world).await, Vec::<String>::new(), "they fight");
    world.pods_are_ready(4);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Progressing").1, "UpToDate", "it has the name for itself");
    assert_eq!(world.server.get(RESOURCE).unwrap()["status"]["api"]["summary"], "4/4");

    // Where the spec asks for one as well, its name is taken.
    spec(&world, &json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 8}}));
    world.reconcile().await.unwrap();
    let (_, reason, message) = world.said("Progressing");
    assert_eq!(reason, "NameTaken");
    assert!(
        message.ends_with(
            "To hand it over: kubectl label horizontalpodautoscaler memory-api -n agents --overwrite \
             app.kubernetes.io/managed-by=agentfs-operator app.kubernetes.io/name=agentfs \
             app.kubernetes.io/instance=memory"
        ),
        "{message}"
    );
    assert_eq!(world.said("Ready").0, "True");
    assert_eq!(world.server.get(AUTOSCALER).unwrap(), theirs);
}

#[tokio::test]
async fn an_autoscaler_that_knows_nothing_for_long_is_told_and_the_api_stays_ready() {
    let world = World::settled("minimal").await;
    spec(&world, &json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 8}}));
    world.reconcile().await.unwrap();
    let blind = |since: &str| {
        json!({"status": {"desiredReplicas": 3, "conditions": [{"type": "ScalingActive",
            "status": "False", "reason": "FailedGetResourceMetric", "lastTransitionTime": since,
            "message": "no metrics returned from resource metrics API"}]}})
    };
    world.server.change(AUTOSCALER, &blind(&jiff::Timestamp::now().to_string()));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Progressing").1, "UpToDate", "it may learn first");
    world.server.change(AUTOSCALER, &blind("2026-01-01T00:00:00Z"));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Progressing").1, "AutoscalingFailed");
    assert!(world.said("Progressing").2.contains("no metrics returned from resource metrics API"));
    assert_eq!(world.said("Ready").0, "True");
}

#[tokio::test]
async fn a_budget_is_there_while_there_are_pods_to_spare() {
    let world = World::settled("minimal").await;
    assert_eq!(world.server.get(BUDGET).unwrap()["spec"]["maxUnavailable"], 1);
    spec(&world, &json!({"replicas": 1}));
    world.reconcile().await.unwrap();
    assert!(world.server.get(BUDGET).is_none(), "its node could never be emptied");
    spec(&world, &json!({"replicas": 2}));
    world.reconcile().await.unwrap();
    assert!(world.server.get(BUDGET).is_some());
}

#[tokio::test]
async fn a_refused_budget_leaves_the_api_ready() {
    let world = World::settled("minimal").await;
    world.server.remove(BUDGET);
    world.server.refuse(BUDGET, 403, "poddisruptionbudgets is forbidden");
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").0, "True");
    let (status, reason, message) = world.said("Progressing");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "ObjectRefused"));
    assert!(message.starts_with("Kubernetes refuses the PodDisruptionBudget memory-api: poddisr"));
}

#[test]
fn no_workload_is_applied_with_a_number_of_pods() {
    let children = crate::golden::children("minimal");
    let Desired::Apply(api) = children.api.deployment else { panic!("there is an API") };
    let Desired::Apply(set) = children.database.postgres else { panic!("there is a database") };
    assert_eq!((api.spec.unwrap().replicas, set.spec.unwrap().replicas), (None, None));
}
