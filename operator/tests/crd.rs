//! The resource definition: its file, its bounds, and what its rules refuse.

use agentfs_operator::crd;
use kube_cel::Validator;
use serde_json::{Value, json};

fn definition() -> Value {
    serde_json::to_value(&crd::all()[0]).unwrap()
}

fn schema() -> Value {
    definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The sentences with which the CEL rules refuse `new` (in place of `old`, for a change).
fn refusals(new: &Value, old: Option<&Value>) -> Vec<String> {
    match Validator::new().validate(&schema(), new, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.as_slice().iter().map(|error| error.message.clone()).collect(),
    }
}

fn resource(name: &str, storage: &Value) -> Value {
    json!({"apiVersion": "agentfs.io/v1alpha1", "kind": "AgentFS", "metadata": {"name": name},
           "spec": {"database": {"embedded": {"storage": storage}}}})
}

#[test]
fn the_file_in_crds_is_what_the_types_say() {
    let path = format!("{}/../crds/agentfs.io_agentfses.yaml", env!("CARGO_MANIFEST_DIR"));
    let generated = crd::to_yaml(&crd::all()[0]).unwrap();
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == generated, "{path} is not what the types say; run `make generate`");
    assert!(generated.len() < 200 * 1024, "the definition has {} bytes", generated.len());
}

#[test]
fn rules_pass_what_is_right() {
    let old = resource("memory", &json!({"size": "10Gi"}));
    assert_eq!(refusals(&old, None), Vec::<String>::new());
    let grown = resource("memory", &json!({"size": "20Gi"}));
    assert_eq!(refusals(&grown, Some(&old)), Vec::<String>::new());
    let longest = resource(&"a".repeat(40), &json!({}));
    assert_eq!(refusals(&longest, None), Vec::<String>::new());
}

#[test]
fn rules_refuse_what_is_wrong_with_a_sentence() {
    let one = |new: &Value, old: Option<&Value>, part: &str| {
        let refusals = refusals(new, old);
        assert!(
            refusals.len() == 1 && refusals[0].contains(part),
            "{new} was answered {refusals:?}, not {part:?}"
        );
    };
    let old = resource("memory", &json!({"size": "10Gi", "storageClassName": "fast"}));
    one(&resource(&"a".repeat(41), &json!({})), None, "at most 40 characters");
    one(&resource("1memory", &json!({})), None, "beginning with a letter");
    one(&resource("my.memory", &json!({})), None, "lower-case letters, digits and '-' only");
    let database =
        |kinds: Value| json!({"metadata": {"name": "memory"}, "spec": {"database": kinds}});
    let external = json!({"secretRef": {"name": "memory-db"}});
    let exactly_one = "set exactly one of embedded, external";
    one(&database(json!({})), None, exactly_one);
    one(&database(json!({"embedded": {}, "external": external})), None, exactly_one);
    assert_eq!(refusals(&database(json!({"external": external})), None), Vec::<String>::new());
    one(&resource("memory", &json!({"size": "512Mi"})), None, "at least 1Gi");
    one(&resource("memory", &json!({"size": "ten"})), None, "must be a size");
    one(&resource("memory", &json!({"storageClassName": "No Class"})), None, "StorageClass");
    let with = |field: &str, value: Value| {
        let mut resource = resource("memory", &json!({}));
        resource["spec"][field] = value;
        resource
    };
    one(&with("image", json!("bad image")), None, "not the name of an image");
    let cpu = |amount: Value| with("api", json!({"resources": {"requests": {"cpu": amount}}}));
    one(&cpu(json!("lots")), None, "every entry must be an amount");
    one(&cpu(json!(-1)), None, "every entry must be an amount");
    assert_eq!(refusals(&cpu(json!(2)), None), Vec::<String>::new());
    assert_eq!(refusals(&cpu(json!("0.5")), None), Vec::<String>::new());
    one(
        &resource("memory", &json!({"size": "5Gi", "storageClassName": "fast"})),
        Some(&old),
        "cannot shrink",
    );
    one(
        &resource("memory", &json!({"size": "10Gi", "storageClassName": "slow"})),
        Some(&old),
        "storageClassName cannot be changed",
    );
    one(
        &resource("memory", &json!({"size": "10Gi"})),
        Some(&old),
        "storageClassName cannot be changed",
    );
}

#[test]
fn every_text_list_and_map_is_bounded_and_described() {
    fn walk(path: &str, schema: &Value, unbounded: &mut Vec<String>) {
        let is = |key: &str| schema.get(key).is_some();
        let is_date = schema["format"] == "date-time";
        match schema["type"].as_str() {
            Some("string") if !is("maxLength") && !is("enum") && !is_date => {
                unbounded.push(path.into());
            }
            Some("array") if !is("maxItems") => unbounded.push(path.into()),
            Some("object") if is("additionalProperties") && !is("maxProperties") => {
                unbounded.push(path.into());
            }
            _ => {}
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if property["description"].as_str().unwrap_or_default().len() < 10 {
                unbounded.push(format!("{path} has no description"));
            }
            assert!(property.get("nullable").is_none(), "{path} takes null");
            walk(&path, property, unbounded);
        }
        for inner in ["items", "additionalProperties"] {
            if is(inner) {
                walk(&format!("{path}[]"), &schema[inner], unbounded);
            }
        }
    }
    let mut unbounded = Vec::new();
    let schema = schema();
    for part in ["spec", "status"] {
        walk(part, &schema["properties"][part], &mut unbounded);
    }
    assert_eq!(unbounded, Vec::<String>::new());
}

#[test]
fn columns_and_subresources_are_those_people_type() {
    let version = definition()["spec"]["versions"][0].clone();
    let columns = version["additionalPrinterColumns"].as_array().unwrap().iter();
    let shown: Vec<_> =
        columns.filter(|c| c.get("priority").is_none()).map(|c| c["name"].clone()).collect();
    assert_eq!(shown, ["Ready", "API", "Database", "Age"]);
    assert_eq!(version["subresources"]["scale"]["specReplicasPath"], ".spec.api.replicas");
    let names = definition()["spec"]["names"].clone();
    assert_eq!((&names["plural"], &names["shortNames"][0]), (&json!("agentfses"), &json!("afs")));
}
