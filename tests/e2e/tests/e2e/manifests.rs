//! What is installed without Helm is what the chart installs.

use std::collections::BTreeMap;
use std::path::Path;

use agentfs_e2e::Failure;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::process::Command;

/// The objects that a program prints as YAML, by kind and name.
async fn printed(program: &str, arguments: &[&str]) -> Result<BTreeMap<String, Value>, Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(program).args(arguments).current_dir(root).output().await?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {complaint}");
    let text = String::from_utf8(output.stdout)?;
    let mut objects = BTreeMap::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        let object = Value::deserialize(document)?;
        if !object.is_null() {
            let name = format!("{}/{}", object["kind"], object["metadata"]["name"]);
            objects.insert(name, without_helm(object));
        }
    }
    Ok(objects)
}

/// An object without what only Helm looks at. The chart labels the resource definitions; `crds/` is as the types make it.
fn without_helm(mut object: Value) -> Value {
    if object["kind"] == "CustomResourceDefinition" {
        object["metadata"]["labels"].take();
    }
    for place in ["/metadata", "/spec/template/metadata"] {
        let Some(metadata) = object.pointer_mut(place).and_then(Value::as_object_mut) else {
            continue;
        };
        for field in ["labels", "annotations"] {
            let Some(entries) = metadata.get_mut(field).and_then(Value::as_object_mut) else {
                continue;
            };
            entries.retain(|key, value| {
                let by_helm = key == "app.kubernetes.io/managed-by" && value == "Helm";
                !by_helm && !key.starts_with("helm.sh/")
            });
        }
        metadata.retain(|_, value| {
            !value.is_null() && value.as_object().is_none_or(|entries| !entries.is_empty())
        });
    }
    object
}

#[tokio::test]
#[ignore = "needs helm and kubectl: make test-cluster"]
async fn smoke_of_manifests_without_helm() -> Result<(), Failure> {
    let chart = ["template", "agentfs-operator", "charts/agentfs-operator"];
    let namespace = ["--namespace", "agentfs-system"];
    let of_chart = printed("helm", &[&chart[..], &namespace].concat()).await?;
    let mut of_manifests = printed("kubectl", &["kustomize", "manifests/operator"]).await?;
    assert!(of_manifests.remove("\"Namespace\"/\"agentfs-system\"").is_some());
    assert!(of_chart.len() > 8, "only {} objects", of_chart.len());
    for (name, object) in &of_chart {
        let ours = of_manifests.remove(name);
        assert_eq!(ours.as_ref(), Some(object), "{name} differs; run scripts/manifests");
    }
    assert!(of_manifests.is_empty(), "too much: {:?}", of_manifests.keys());
    Ok(())
}
