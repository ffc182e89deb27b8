//! The resource definition: its file, its bounds, and what its rules refuse.

use agentfs_operator::crd;
use serde_json::{Value, json};

/// The definitions of all kinds, each with the kind.
fn definitions() -> Vec<(String, Value)> {
    let definitions = crd::all().into_iter();
    definitions.map(|of| (of.spec.names.kind.clone(), serde_json::to_value(&of).unwrap())).collect()
}

fn definition(kind: &str) -> Value {
    definitions().into_iter().find(|(of, _)| of == kind).unwrap().1
}

fn schema_of(definition: &Value) -> Value {
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The schema of a kind.
pub(crate) fn schema(kind: &str) -> Value {
    schema_of(&definition(kind))
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
fn the_local_models_are_those_that_the_server_knows() {
    let mut field = schema("AgentFS");
    for name in ["spec", "embeddings", "local", "model"] {
        field = field["properties"][name].clone();
    }
    let known = include_str!("../../crates/embedder-local/src/known.rs").lines();
    let name = |line: &'static str| line.trim().strip_prefix("name: \"")?.strip_suffix("\",");
    let known: Vec<&str> = known.filter_map(name).collect();
    assert_eq!(field["enum"], json!(known));
}

#[test]
fn the_page_of_all_fields_is_what_the_types_say() {
    let path = format!("{}/../docs/CRD.md", env!("CARGO_MANIFEST_DIR"));
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == crd::docs::page(), "{path} is not what the types say; run `make generate`");
}

#[test]
fn the_page_of_all_fields_says_in_words_what_is_refused() {
    for line in crd::docs::page().lines().filter(|line| line.contains("Validation:")) {
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
    for (kind, definition) in definitions() {
        for part in ["spec", "status"] {
            let schema = &schema_of(&definition)["properties"][part];
            walk(&format!("{kind} {part}"), schema, &mut unbounded);
        }
    }
    assert_eq!(unbounded, Vec::<String>::new());
}

/// The columns of a kind, and those that `-o wide` shows besides.
fn columns(kind: &str) -> [Vec<String>; 2] {
    let version = definition(kind)["spec"]["versions"][0].clone();
    let columns = version["additionalPrinterColumns"].as_array().unwrap().clone();
    let (wide, shown): (Vec<_>, Vec<_>) = columns.into_iter().partition(|c| c["priority"] == 1);
    [shown, wide].map(|of| of.iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect())
}

#[test]
fn columns_and_subresources_are_those_people_type() {
    let [shown, wide] = columns("AgentFS");
    assert_eq!(shown, ["Ready", "API", "Workers", "Database", "Last-Backup", "Verified", "Age"]);
    assert_eq!(wide, ["Reason", "Message", "URL", "Image", "Size", "Next-Backup"]);
    let definition = definition("AgentFS");
    let scale = &definition["spec"]["versions"][0]["subresources"]["scale"];
    assert_eq!(scale["specReplicasPath"], ".spec.api.replicas");
}

#[test]
fn what_is_carried_out_once_shows_how_it_stands() {
    for (kind, columns_shown) in [
        (
            "AgentFSBackup",
            &["AgentFS", "Scope", "Size", "Entries", "Duration", "Verified", "Age"][..],
        ),
        ("AgentFSRestore", &["AgentFS", "Source", "Step", "Progress", "Downtime", "Result", "Age"]),
        ("AgentFSDrill", &["AgentFS", "Result", "RPO", "RTO", "Objectives", "Age"]),
    ] {
        assert_eq!(columns(kind)[0], columns_shown, "{kind}");
    }
}

#[test]
fn names_are_those_people_type() {
    let names = crd::all().into_iter().map(|of| of.spec.names);
    let names: Vec<_> = names.map(|of| (of.plural, of.short_names.unwrap_or_default())).collect();
    let short = |plural: &str, short: &str| (plural.to_owned(), vec![short.to_owned()]);
    let wanted = [
        short("agentfses", "afs"),
        short("agentfsbackups", "afsb"),
        short("agentfsrestores", "afsr"),
        short("agentfsdrills", "afsd"),
    ];
    assert_eq!(names, wanted);
}
