//! What the operator tells the server's programs, as the golden files hold it, is what they read.

use std::collections::BTreeSet;
use std::fs;

use agentfs_contract::setting;
use serde::Deserialize as _;
use serde_yaml_ng::Value;

/// Variables of the fixtures' own `extraEnv`.
const EXTRA: [&str; 4] = ["EMBED_CONCURRENCY", "LOG_FORMAT", "LOG_LEVEL", "METRICS_TOKEN"];
/// What PostgreSQL's own programs read.
const LIBPQ: &str = "PGSSLROOTCERT";

/// The names of the variables of all containers of the golden files that run `command` of the server.
fn told(command: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        // The frontmatter, then the object.
        if let Some(Ok(object)) =
            serde_yaml_ng::Deserializer::from_str(&text).nth(1).map(Value::deserialize)
        {
            collect(&object, command, &mut names);
        }
    }
    assert!(!names.is_empty(), "no container runs {command}");
    names.retain(|name| !EXTRA.contains(&name.as_str()) && name != LIBPQ);
    names
}

fn collect(value: &Value, command: &str, names: &mut BTreeSet<String>) {
    match value {
        Value::Mapping(fields) => {
            let runs = value.get("args").and_then(|args| args.get(0)).and_then(Value::as_str);
            if runs == Some(command) {
                let env = value.get("env").and_then(Value::as_sequence).into_iter().flatten();
                names.extend(env.filter_map(|of| Some(of.get("name")?.as_str()?.to_owned())));
            }
            fields.values().for_each(|field| collect(field, command, names));
        }
        Value::Sequence(items) => items.iter().for_each(|item| collect(item, command, names)),
        _ => {}
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_servers_and_workers_are_told_are_settings_of_theirs() {
    // No fixture has a local model.
    let mut settings = set(&setting::OF_SERVING);
    for of_local in [setting::EMBEDDING_MODEL_DIR, setting::EMBEDDING_MODEL] {
        settings.remove(of_local);
    }
    assert_eq!(told("serve"), settings);
    let of_worker = told("worker");
    assert!(of_worker.is_subset(&settings), "{of_worker:?}");
}

#[test]
fn what_migrations_are_told_are_settings_of_theirs() {
    let (told, settings) = (told("migrate"), set(&setting::OF_MIGRATION));
    assert!(told.is_superset(&settings), "{told:?}");
    // They get the API's extraEnv too.
    let others: BTreeSet<_> = told.difference(&settings).cloned().collect();
    assert!(others.is_subset(&set(&setting::OF_SERVING)), "{others:?}");
}

#[test]
fn what_backups_verifications_and_drills_are_told_are_settings_of_theirs() {
    let of_all: BTreeSet<_> = ["backup", "verify", "drill"].into_iter().flat_map(told).collect();
    assert_eq!(of_all, set(&setting::OF_RECOVERY));
}
