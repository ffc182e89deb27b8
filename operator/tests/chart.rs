//! The chart's page tells of every value.

use serde_yaml_ng::Value;

fn read(file: &str) -> String {
    let folder = format!("{}/../charts/agentfs-operator", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(format!("{folder}/{file}")).unwrap()
}

fn paths(prefix: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Mapping(map) if !map.is_empty() => {
            for (key, value) in map {
                let key = key.as_str().unwrap();
                let path =
                    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
                paths(&path, value, found);
            }
        }
        _ => found.push(prefix.to_owned()),
    }
}

#[test]
fn every_value_is_told_of_and_checked() {
    let mut values = Vec::new();
    paths("", &serde_yaml_ng::from_str(&read("values.yaml")).unwrap(), &mut values);
    let readme = read("README.md");
    let row = |value: &String| {
        let parents = value.match_indices('.').map(|(at, _)| &value[..at]);
        parents.chain([value.as_str()]).any(|path| readme.contains(&format!("| `{path}`")))
    };
    let untold: Vec<_> = values.iter().filter(|value| !row(value)).collect();
    assert_eq!(untold, Vec::<&String>::new(), "charts/agentfs-operator/README.md lacks these");
    let schema: Value = serde_yaml_ng::from_str(&read("values.schema.json")).unwrap();
    let first = |value: &String| value.split('.').next().unwrap().to_owned();
    let unchecked: Vec<_> = values
        .iter()
        .map(first)
        .filter(|name| schema["properties"][name.as_str()].is_null())
        .collect();
    assert_eq!(unchecked, Vec::<String>::new(), "values.schema.json lacks these");
}
