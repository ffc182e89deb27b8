//! How results are printed: `-o`.

use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::cluster::{Found, Kind};
use super::error::Error;
use super::table::{Row, table};

/// The flag `-o`.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(super) struct OutputFlag {
    /// The output format
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    pub(super) output: Option<Format>,
}

/// Output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One line per object.
    Table,
    /// One line per object, with more columns.
    Wide,
    /// The objects themselves.
    Json,
    /// The objects themselves.
    Yaml,
    /// Kinds and names, as input of another kubectl.
    Name,
}

/// The objects in that format.
pub(super) fn objects<K: Row + Kind>(
    format: Format,
    found: &[Found<K>],
    now: Timestamp,
) -> Result<String, Error> {
    let raw = || found.iter().map(|found| typed::<K>(&found.raw)).collect::<Vec<_>>();
    match format {
        Format::Table => Ok(table(found.iter().map(|found| &found.it), false, now)),
        Format::Wide => Ok(table(found.iter().map(|found| &found.it), true, now)),
        Format::Name => Ok(found.iter().map(|found| name::<K>(found.name()) + "\n").collect()),
        Format::Json | Format::Yaml => text(format, &list(&raw())),
    }
}

/// One object in that format.
pub(super) fn object<K: Row + Kind>(
    format: Format,
    found: &Found<K>,
    now: Timestamp,
) -> Result<String, Error> {
    match format {
        Format::Json | Format::Yaml => text(format, &typed::<K>(&found.raw)),
        other => objects(other, std::slice::from_ref(found), now),
    }
}

/// A list of objects, as kubectl prints several.
pub(super) fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
}

/// A value as JSON or, where that is asked for, as YAML.
pub(super) fn text(format: Format, value: &Value) -> Result<String, Error> {
    match format {
        Format::Yaml => serde_yaml_ng::to_string(value).map_err(|error| error.to_string()),
        _ => serde_json::to_string_pretty(value)
            .map(|text| text + "\n")
            .map_err(|error| error.to_string()),
    }
    .map_err(|error| Error::Local(format!("cannot print it: {error}")))
}

/// Prints a result. That whoever reads it has seen enough, as `head`, is no failure.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Error::Local(format!("cannot print the result: {error}"))),
    })
}

/// An object's kind and name, as kubectl takes them: `agentfsrestore.agentfs.io/undo`.
pub(super) fn name<K: Kind>(name: &str) -> String {
    let kind = K::kind(&()).to_lowercase();
    format!("{kind}.{}/{name}", K::group(&()))
}

/// An object as it was sent, without what kubectl leaves out.
pub(super) fn typed<K: Kind>(raw: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(raw).unwrap_or_default();
    // The items of a list come without.
    value["apiVersion"] = json!(K::api_version(&()));
    value["kind"] = json!(K::kind(&()));
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    value
}
