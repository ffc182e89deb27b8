//! Volumes that grow, and volumes that cannot.

use serde_json::{Value, json};

use crate::world::{RESOURCE, World};

const CLAIM: &str = "v1/persistentvolumeclaims/data-memory-postgres-0";
const BACKUPS: &str = "v1/persistentvolumeclaims/memory-backups";
const CLASS: &str = "storage.k8s.io/v1/storageclasses/local";

/// A settled AgentFS with two volumes of a class that lets them grow or not; `None`: that is not there.
async fn world(growth: Option<bool>) -> World {
    let world = World::settled("minimal").await;
    have_a_class(&world, growth);
    world.reconcile().await.unwrap();
    world
}

/// Lets both volumes be of a class, as above.
pub(crate) fn have_a_class(world: &World, growth: Option<bool>) {
    for path in [CLAIM, BACKUPS] {
        let size = world.server.get(path).unwrap()["spec"]["resources"]["requests"].clone();
        world.server.change(
            path,
            &json!({"spec": {"storageClassName": "local", "volumeName": "pv-1"},
                    "status": {"phase": "Bound", "capacity": size}}),
        );
    }
    if let Some(growth) = growth {
        let class = json!({"metadata": {"name": "local"}, "provisioner": "example.com/local",
                           "allowVolumeExpansion": growth});
        world.server.put(CLASS, class);
    }
}

fn sizes(world: &World, database: &str, backups: &str) {
    let spec = json!({"database": {"embedded": {"storage": {"size": database}}},
                      "backup": {"volume": {"size": backups}}});
    world.server.change(RESOURCE, &json!({"spec": spec}));
}

fn size(world: &World, path: &str) -> Value {
    world.server.get(path).unwrap()["spec"]["resources"]["requests"]["storage"].clone()
}

#[tokio::test]
async fn a_volume_grows_where_its_class_lets_it() {
    let world = world(Some(true)).await;
    sizes(&world, "20Gi", "30Gi");
    world.reconcile().await.unwrap();
    assert_eq!((size(&world, CLAIM), size(&world, BACKUPS)), (json!("20Gi"), json!("30Gi")));
    assert_eq!(world.said("Ready").0, "True");
    // While it grows it is as large as before.
    let status = world.server.get(RESOURCE).unwrap()["status"].clone();
    assert_eq!(status["database"]["volumeSize"], "10Gi");
    assert_eq!(status["backup"]["volumeSize"], "10Gi");
}

#[tokio::test]
async fn a_class_that_cannot_grow_is_told_before_the_claim_is_touched() {
    let reason =
        "its StorageClass local does not let volumes grow (allowVolumeExpansion is not true)";
    for (growth, reason) in
        [(Some(false), reason), (None, "its StorageClass local is not there any more")]
    {
        let world = world(growth).await;
        sizes(&world, "20Gi", "30Gi");
        let writes = world.writes().await;
        assert!(!writes.iter().any(|write| write.contains("persistentvolumeclaims")), "{writes:?}");
        for (condition, field, wanted) in [
            ("DatabaseReady", "spec.database.embedded.storage.size", "20Gi"),
            ("BackupsScheduled", "spec.backup.volume.size", "30Gi"),
        ] {
            let (status, told, message) = world.said(condition);
            assert_eq!((status.as_str(), told.as_str()), ("False", "VolumeCannotGrow"));
            let what = format!(
                "{field} is {wanted}, and the volume of 10Gi cannot grow: {reason} (since "
            );
            assert!(message.starts_with(&what), "{message}");
            assert!(message.contains(&format!("Set {field} back to 10Gi")), "{message}");
        }
        assert_eq!(world.said("APIReady").0, "True");
        assert_eq!(world.writes().await, Vec::<String>::new(), "it was told twice");

        sizes(&world, "10Gi", "10Gi");
        world.reconcile().await.unwrap();
        assert_eq!(world.said("Ready").0, "True");
        assert_eq!(size(&world, CLAIM), "10Gi");
    }
}

#[tokio::test]
async fn where_classes_cannot_be_looked_at_kubernetes_answers() {
    let world = world(None).await;
    world.server.refuse_read(CLASS, 403, "storageclasses is forbidden");
    world.server.refuse(CLAIM, 403, "only dynamically provisioned pvc can be resized");
    sizes(&world, "20Gi", "10Gi");
    world.reconcile().await.unwrap();
    let (_, reason, message) = world.said("DatabaseReady");
    assert_eq!(reason, "ObjectRefused");
    assert!(message.contains("only dynamically provisioned pvc can be resized"), "{message}");
    assert!(message.contains("set the size back to what the volume has"), "{message}");
    sizes(&world, "10Gi", "10Gi");
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").0, "True");
}

#[tokio::test]
async fn a_claim_without_a_volume_does_not_grow() {
    let world = World::settled("minimal").await;
    sizes(&world, "20Gi", "10Gi");
    assert_eq!(world.writes().await, Vec::<String>::new(), "Kubernetes would refuse it");
    let status = world.server.get(RESOURCE).unwrap()["status"].clone();
    assert!(status["database"]["volumeSize"].is_null());
}
