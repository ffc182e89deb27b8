//! What the operator counts.

use std::time::Duration;

use agentfs_operator::crd::AgentFS;
use agentfs_operator::kit::reconcile::Reconciled;
use agentfs_operator::process::metrics::Metrics;
use kube::runtime::{reflector, watcher};
use serde_json::json;

use crate::fixtures::agentfs;
use crate::world::{RESOURCE, World};

#[test]
fn reconciles_are_counted_by_how_they_ended_and_errors_by_where() {
    let metrics = Metrics::new().unwrap();
    for result in [Reconciled::Settled, Reconciled::Settled, Reconciled::Error { step: "apply" }] {
        metrics.reconciled("AgentFS", Duration::from_millis(20), result);
    }
    let text = metrics.render().unwrap();
    for line in [
        r#"agentfs_operator_reconciles_total{kind="AgentFS",result="settled"} 2"#,
        r#"agentfs_operator_reconciles_total{kind="AgentFS",result="error"} 1"#,
        r#"agentfs_operator_reconcile_errors_total{kind="AgentFS",step="apply"} 1"#,
        r#"agentfs_operator_reconcile_duration_seconds_bucket{kind="AgentFS",le="0.025"} 3"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_reconcile_is_counted_for_what_it_found() {
    let counted = |world: &World, result: &str| {
        let text = world.context.metrics.render().unwrap();
        let line =
            format!("agentfs_operator_reconciles_total{{kind=\"AgentFS\",result=\"{result}\"}} ");
        let found = text.lines().find_map(|l| l.strip_prefix(&line)).unwrap_or("0");
        found.parse::<u32>().unwrap()
    };
    let world = World::settled("minimal").await;
    let (settled, waiting) = (counted(&world, "settled"), counted(&world, "in_progress"));
    assert!(settled == 1 && waiting >= 2, "{settled} {waiting}");
    world.server.change(RESOURCE, &json!({"spec": {"database": {"embedded": null}}}));
    world.reconcile().await.unwrap();
    assert_eq!(counted(&world, "needs_attention"), 1);
    world.server.change(RESOURCE, &json!({"spec": {"database": {"embedded": {}}}}));
    world.server.remove("v1/services/memory-api");
    world.server.refuse("v1/services/memory-api", 409, "the object has been modified");
    assert!(world.reconcile().await.is_err());
    assert_eq!(counted(&world, "error"), 1);
}

#[test]
fn conditions_are_shown_with_the_kind_of_their_resource() {
    let metrics = Metrics::new().unwrap();
    let (store, mut writer) = reflector::store::<AgentFS>();
    metrics.show(store);
    let mut resource = agentfs("minimal");
    let ready = json!({"conditions": [{"type": "Ready", "status": "True", "reason": "Ready",
        "message": "x", "lastTransitionTime": "2026-11-23T14:00:00Z"}]});
    resource.status = serde_json::from_value(ready).unwrap();
    writer.apply_watcher_event(&watcher::Event::Apply(resource));
    let line = "agentfs_operator_condition{condition=\"Ready\",kind=\"AgentFS\",\
                name=\"memory\",namespace=\"agents\"} 1";
    let text = metrics.render().unwrap();
    assert!(text.contains(line), "{line} is not in\n{text}");
}
