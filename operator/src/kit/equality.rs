//! Compares a live object with the fields that we apply, whatever else others put into it.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use crate::crd::fields::Quantity;

/// The fields by which Kubernetes tells the elements of its lists apart, the more telling first.
const ELEMENT_KEYS: [&str; 6] =
    ["uid", "mountPath", "topologyKey", "name", "containerPort", "port"];

/// Maps whose values are amounts, which the API server may write in other words than we did.
const AMOUNTS: [&str; 3] = ["requests", "limits", "sizeLimit"];

/// Maps that Kubernetes takes as a whole: another key in them changes what they mean, whoever added it.
const ATOMIC: [&str; 3] = ["selector", "nodeSelector", "labelSelector"];

/// Whether `live` has all that `wanted` asks for.
pub(super) fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => covers_map(live, wanted),
        (Value::Array(live), Value::Array(wanted)) => covers_list(live, wanted),
        _ => live == wanted,
    }
}

fn covers_map(live: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
    wanted.iter().all(|(key, wanted)| match live.get(key) {
        Some(live) if ATOMIC.contains(&key.as_str()) => live == wanted,
        Some(live) if AMOUNTS.contains(&key.as_str()) => covers_amounts(live, wanted),
        Some(live) => covers(live, wanted),
        // The API server leaves out what is empty.
        None => is_empty(wanted),
    })
}

/// Lists of named elements are compared by name, so that others may add elements; all other lists
/// are compared as a whole.
fn covers_list(live: &[Value], wanted: &[Value]) -> bool {
    let Some(key) = element_key(wanted) else {
        return live.len() == wanted.len() && live.iter().zip(wanted).all(|(l, w)| covers(l, w));
    };
    wanted.iter().all(|wanted| {
        live.iter().any(|live| live.get(key) == wanted.get(key) && covers(live, wanted))
    })
}

fn element_key(elements: &[Value]) -> Option<&'static str> {
    let has = |key: &&str| !elements.is_empty() && elements.iter().all(|e| e.get(key).is_some());
    ELEMENT_KEYS.into_iter().find(has)
}

fn covers_amounts(live: &Value, wanted: &Value) -> bool {
    let same = |live: &Value, wanted: &Value| match (live.as_str(), wanted.as_str()) {
        (Some(live), Some(wanted)) => {
            live == wanted
                || Quantity::new(live).compare(&Quantity::new(wanted)).is_some_and(Ordering::is_eq)
        }
        _ => live == wanted,
    };
    match (live.as_object(), wanted.as_object()) {
        (Some(live), Some(wanted)) => {
            wanted.iter().all(|(key, wanted)| live.get(key).is_some_and(|live| same(live, wanted)))
        }
        _ => same(live, wanted),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_sidecars_and_foreign_annotations_are_not_drift() {
        let wanted = json!({
            "metadata": {"annotations": {"ours": "1"}},
            "spec": {"replicas": 3, "containers": [{"name": "api", "image": "a:1",
                "args": ["serve"], "env": [{"name": "PORT", "value": "8787"}]}]}});
        let live = json!({
            "metadata": {"annotations": {"ours": "1", "theirs": "2"}, "uid": "u"},
            "spec": {"replicas": 3, "progressDeadlineSeconds": 600, "containers": [
                {"name": "proxy", "image": "mesh:1"},
                {"name": "api", "image": "a:1", "args": ["serve"], "imagePullPolicy": "IfNotPresent",
                 "env": [{"name": "EXTRA", "value": "x"}, {"name": "PORT", "value": "8787"}]}]}});
        assert!(covers(&live, &wanted));
    }

    #[test]
    fn a_changed_missing_or_longer_value_of_ours_is_drift() {
        let wanted =
            json!({"spec": {"replicas": 3, "containers": [{"name": "api", "args": ["serve"]}]}});
        for live in [
            json!({"spec": {"replicas": 2, "containers": [{"name": "api", "args": ["serve"]}]}}),
            json!({"spec": {"containers": [{"name": "api", "args": ["serve"]}]}}),
            json!({"spec": {"replicas": 3, "containers": [{"name": "api", "args": ["serve", "-v"]}]}}),
            json!({"spec": {"replicas": 3, "containers": [{"name": "other", "args": ["serve"]}]}}),
        ] {
            assert!(!covers(&live, &wanted), "{live} was taken for equal");
        }
    }

    #[test]
    fn a_key_added_to_a_selector_is_drift() {
        let wanted = json!({"spec": {"selector": {"app": "api"}}});
        let live = json!({"spec": {"selector": {"app": "api", "tier": "else"}}});
        assert!(!covers(&live, &wanted));
        assert!(covers(&wanted, &wanted));
    }

    #[test]
    fn amounts_are_equal_in_other_words_and_only_amounts_are() {
        let wanted = json!({"resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}}});
        assert!(covers(
            &json!({"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}),
            &wanted
        ));
        assert!(!covers(
            &json!({"resources": {"requests": {"cpu": "500m", "memory": "2Gi"}}}),
            &wanted
        ));
        assert!(!covers(&json!({"value": "1k"}), &json!({"value": "1000"})));
    }

    #[test]
    fn what_is_empty_may_be_left_out() {
        assert!(covers(&json!({}), &json!({"labels": {}, "items": []})));
        assert!(!covers(&json!({}), &json!({"emptyDirs": {"a": {}}})));
    }
}
