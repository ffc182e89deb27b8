//! What the database remembers of a resource, so that it is carried out once for ever, by whatever release.

use agentfs_operator::crd::{AgentFSBackup, AgentFSDrill, AgentFSRestore};
use agentfs_operator::kit::ownership::Owner;
use agentfs_operator::task::{Task, job};
use serde_json::{Value, json};

/// The hash of this spec.
fn hash<T: Task>(mut spec: Value) -> String {
    spec["agentFS"] = json!("memory");
    let task: T =
        serde_json::from_value(json!({"apiVersion": T::api_version(&()), "kind": T::kind(&()),
        "metadata": {"name": "undo", "namespace": "agents", "uid": "1"}, "spec": spec}))
        .unwrap();
    job::request(&task, &Owner::of(&task).unwrap()).unwrap().spec
}

/// A hash that changes is another request: what was carried out before an upgrade of the operator would be again.
#[test]
fn hashes_stay_the_same_from_release_to_release() {
    assert_eq!(hash::<AgentFSBackup>(json!({})), "73746a6a1f3c684b6f9d47908f781834");
    assert_eq!(hash::<AgentFSDrill>(json!({})), "73746a6a1f3c684b6f9d47908f781834");
    let latest = json!({"source": {"latest": true}, "target": {"inPlace": {}}});
    assert_eq!(hash::<AgentFSRestore>(latest), "734e1e2581aa948230f0497c4d74e3c5");
    assert_eq!(hash::<AgentFSRestore>(json!({"undo": "back"})), "1f46592322a97a14633ff95dbcd5311a");
}

#[test]
fn defaults_and_the_time_to_live_make_no_other_request() {
    let spec = json!({"source": {"latest": true}, "target": {"inPlace": {}}});
    let same = json!({"source": {"latest": true, "latestVerified": false},
        "target": {"inPlace": {"strategy": "SwapSchema", "keepPrevious": "24h"}},
        "security": "Live", "allowForeign": false, "ttlSecondsAfterFinished": 10});
    assert_eq!(hash::<AgentFSRestore>(spec.clone()), hash::<AgentFSRestore>(same));
    for other in [
        json!({"source": {"latestVerified": true}, "target": {"inPlace": {}}}),
        json!({"source": {"latest": true}, "target": {"inPlace": {"keepPrevious": "2d"}}}),
        json!({"source": {"latest": true}, "target": {"inPlace": {}}, "security": "FromBackup"}),
        json!({"source": {"latest": true}, "target": {"newDatabase": {"name": "look"}}}),
    ] {
        assert_ne!(
            hash::<AgentFSRestore>(spec.clone()),
            hash::<AgentFSRestore>(other.clone()),
            "{other}"
        );
    }
    let full = json!({"scope": "Full", "verify": "None"});
    assert_eq!(hash::<AgentFSBackup>(json!({})), hash::<AgentFSBackup>(full));
    let deleted = json!({"deletionPolicy": "Delete"});
    assert_eq!(hash::<AgentFSBackup>(json!({})), hash::<AgentFSBackup>(deleted));
    assert_ne!(
        hash::<AgentFSBackup>(json!({})),
        hash::<AgentFSBackup>(json!({"verify": "Archive"}))
    );
}
