//! The page `docs/CRD.md`: every field of the resources, from the definitions.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// The page.
pub fn page() -> String {
    let mut page = "# Resources\n\n\
        All fields, with their defaults and bounds. Generated from the types in `operator/src/crd` by \
        `make generate`; do not edit. `kubectl explain agentfs.spec` shows the same on the command line.\n"
        .to_owned();
    for definition in super::all() {
        write_definition(&mut page, &definition);
    }
    page
}

// Writing to a String cannot fail, so what `writeln!` answers says nothing.
fn write_definition(page: &mut String, definition: &CustomResourceDefinition) {
    let names = &definition.spec.names;
    for version in &definition.spec.versions {
        let Some(schema) = version.schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref())
        else {
            continue;
        };
        let short = names
            .short_names
            .iter()
            .flatten()
            .fold(String::new(), |all, name| format!("{all} and `{name}`"));
        let _ = writeln!(
            page,
            "\n## {}\n\n`apiVersion: {}/{}`, `kind: {}`; names for kubectl: `{}`{}.\n\n{}",
            names.kind,
            definition.spec.group,
            version.name,
            names.kind,
            names.plural,
            short,
            schema.description.as_deref().unwrap_or_default()
        );
        for rule in schema.x_kubernetes_validations.iter().flatten() {
            let _ = writeln!(page, "\n- {}", rule.message.as_deref().unwrap_or(&rule.rule));
        }
        for part in ["spec", "status"] {
            let Some(schema) = schema.properties.as_ref().and_then(|p| p.get(part)) else {
                continue;
            };
            let _ = writeln!(
                page,
                "\n### {part}\n\n{}\n\n| field | type | default | description |\n|---|---|---|---|",
                schema.description.as_deref().unwrap_or_default()
            );
            write_rules(page, part, schema);
            write_fields(page, part, schema);
        }
    }
}

fn write_fields(page: &mut String, path: &str, schema: &JSONSchemaProps) {
    let required = schema.required.as_deref().unwrap_or_default();
    for (name, field) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        let needed = if required.contains(name) { " **Required.**" } else { "" };
        let _ = writeln!(
            page,
            "| `{path}` | {} | {} | {}{needed}{} |",
            kind(field),
            default(field),
            cell(field.description.as_deref().unwrap_or_default()),
            cell(&bounds(field))
        );
        write_rules(page, &path, field);
        write_fields(page, &path, field);
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &field.items {
            write_rules(page, &format!("{path}[]"), items);
            write_fields(page, &format!("{path}[]"), items);
        }
    }
}

/// The rules that the API server validates besides, one per row.
fn write_rules(page: &mut String, path: &str, schema: &JSONSchemaProps) {
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        let message = rule.message.as_deref().unwrap_or(&rule.rule);
        let _ = writeln!(page, "| `{path}` | | | Validation: {}. |", cell(message));
    }
}

fn kind(schema: &JSONSchemaProps) -> String {
    if schema.x_kubernetes_int_or_string == Some(true) {
        return "integer or string".into();
    }
    match schema.type_.as_deref() {
        Some("array") => match &schema.items {
            Some(JSONSchemaPropsOrArray::Schema(items)) => format!("list of {}", kind(items)),
            _ => "list".into(),
        },
        Some("object") => match &schema.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(values)) => format!("map of {}", kind(values)),
            _ => "object".into(),
        },
        other => other.unwrap_or_default().into(),
    }
}

/// A default that is said by the fields below it is not said twice.
fn default(schema: &JSONSchemaProps) -> String {
    match &schema.default {
        Some(value) if !value.0.is_object() => format!("`{}`", value.0).replace('"', ""),
        _ => String::new(),
    }
}

fn bounds(schema: &JSONSchemaProps) -> String {
    let mut bounds = String::new();
    if let Some(words) = &schema.enum_ {
        let words: Vec<_> = words.iter().map(|word| word.0.to_string().replace('"', "`")).collect();
        let _ = write!(bounds, " One of {}.", words.join(", "));
    }
    match (schema.minimum, schema.maximum) {
        (Some(least), Some(most)) => drop(write!(bounds, " From {least} to {most}.")),
        (Some(least), None) => drop(write!(bounds, " At least {least}.")),
        (None, Some(most)) => drop(write!(bounds, " At most {most}.")),
        (None, None) => {}
    }
    for (most, of) in [
        (schema.max_length, "characters"),
        (schema.max_items, "entries"),
        (schema.max_properties, "entries"),
    ] {
        if let Some(most) = most {
            let _ = write!(bounds, " At most {most} {of}.");
        }
    }
    if let Some(pattern) = &schema.pattern {
        let _ = write!(bounds, " Must match `{pattern}`.");
    }
    bounds
}

/// A text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
