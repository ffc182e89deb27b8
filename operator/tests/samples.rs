//! The samples are right, and show every field that there is.

use agentfs_operator::crd::AgentFS;
use serde::Deserialize as _;
use serde_json::Value;

use crate::crd::schema;
use crate::rules::refusals;

/// The samples, each with its name and text.
fn samples() -> Vec<(String, String)> {
    let folder = format!("{}/../manifests/samples", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The paths of `value` that `schema` does not know.
fn unknown(path: &str, value: &Value, schema: &Value) -> Vec<String> {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        let known = [&schema["properties"][key], &schema["additionalProperties"]];
        match known.into_iter().find(|schema| schema.is_object()) {
            Some(schema) => found.extend(unknown(&path, value, schema)),
            None => found.push(path),
        }
    }
    for value in value.as_array().into_iter().flatten() {
        found.extend(unknown(&format!("{path}[]"), value, &schema["items"]));
    }
    found
}

#[test]
fn samples_are_taken() {
    let mut count = 0;
    for (name, text) in samples() {
        for document in serde_yaml_ng::Deserializer::from_str(&text) {
            let value = Value::deserialize(document).unwrap();
            if value["kind"] != "AgentFS" {
                continue;
            }
            count += 1;
            let strange = unknown("spec", &value["spec"], &schema("AgentFS")["properties"]["spec"]);
            assert_eq!(strange, Vec::<String>::new(), "{name}");
            let resource: AgentFS = serde_json::from_value(value).unwrap();
            for affinity in [&resource.spec.api.pods.affinity, &resource.spec.worker.pods.affinity]
            {
                affinity.as_ref().map(|affinity| affinity.parsed().unwrap());
            }
            // With the defaults, as the API server evaluates the rules.
            let filled = serde_json::to_value(&resource).unwrap();
            assert_eq!(refusals(&filled, None), Vec::<String>::new(), "{name}");
        }
    }
    assert_eq!(count, 4);
}

#[test]
fn every_field_is_shown() {
    fn walk(schema: &Value, names: &mut Vec<String>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            names.push(name.clone());
            walk(field, names);
            walk(&field["items"], names);
        }
    }
    let mut names = Vec::new();
    walk(&schema("AgentFS")["properties"]["spec"], &mut names);
    let shown: String = samples().into_iter().map(|(_, text)| text).collect();
    names.retain(|name| !shown.contains(&format!("{name}:")));
    assert_eq!(names, Vec::<String>::new(), "no sample shows these");
}
