//! The resource definition: its file, its bounds, and what its rules refuse.

use agentfs_operator::crd;
use serde_json::{Value, json};

fn definition() -> Value {
    serde_json::to_value(&crd::all()[0]).unwrap()
}

/// The schema of the kind AgentFS.
pub(crate) fn schema() -> Value {
    definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn the_files_in_crds_are_what_the_types_say() {
    for definition in crd::all() {
        let file = crd::file_name(&definition);
        let path = format!("{}/../crds/{file}", env!("CARGO_MANIFEST_DIR"));
        let generated = crd::to_yaml(&definition).unwrap();
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == generated, "{path} is not what the types say; run `make generate`");
        assert!(generated.len() < 200 * 1024, "{file} has {} bytes", generated.len());
    }
}

#[test]
fn the_page_of_all_fields_is_what_the_types_say() {
    let path = format!("{}/../docs/CRD.md", env!("CARGO_MANIFEST_DIR"));
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == crd::docs::page(), "{path} is not what the types say; run `make generate`");
}

#[test]
fn the_page_of_all_fields_says_in_words_what_is_refused() {
    for line in crd::docs::page().lines().filter(|line| line.contains("Otherwise refused")) {
        assert!(!line.contains("matches("), "{line}");
    }
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
    assert_eq!(shown, ["Ready", "API", "Workers", "Database", "Last-Backup", "Age"]);
    let columns = version["additionalPrinterColumns"].as_array().unwrap().iter();
    let wide: Vec<_> = columns.filter(|c| c["priority"] == 1).map(|c| c["name"].clone()).collect();
    assert_eq!(wide, ["Reason", "Message", "URL", "Image", "Size", "Next-Backup"]);
    assert_eq!(version["subresources"]["scale"]["specReplicasPath"], ".spec.api.replicas");
    let names = definition()["spec"]["names"].clone();
    assert_eq!((&names["plural"], &names["shortNames"][0]), (&json!("agentfses"), &json!("afs")));
}
