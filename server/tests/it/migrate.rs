//! Migrations and the deployment's admin key.

use agentfs_server::domain::api_key::ApiKey;
use agentfs_server::migrate::migrate;
use agentfs_server::store::schema::SCHEMA_VERSION;
use futures::future::join_all;
use secrecy::ExposeSecret as _;
use serde_json::json;
use std::process::Command;

use crate::api::Api;
use crate::database::Database;

#[tokio::test]
async fn many_at_once_migrate_once() {
    let database = Database::empty().await;
    let address = database.address();
    let reports = join_all((0..5).map(|_| migrate(&address, None))).await;
    let applied: usize = reports.iter().map(|r| r.as_ref().unwrap().applied).sum();
    assert_eq!(applied, usize::try_from(SCHEMA_VERSION).unwrap());
    assert!(reports.iter().all(|r| r.as_ref().unwrap().version == SCHEMA_VERSION));
}

#[tokio::test]
async fn a_new_admin_key_replaces_the_deployments_earlier_one_and_no_other() {
    let database = Database::migrated().await;
    let api = Api::start_with(&database, &[], &[]).await;
    let (old, new) = (ApiKey::generate().reveal(), ApiKey::generate().reveal());
    for key in [&old, &old, &new] {
        migrate(&database.address(), Some(key)).await.unwrap();
    }
    let make = |key: &str| {
        let client = api.client.with_key(key);
        async move { client.post("/v1/admin/create-key", json!({})).await.0.as_u16() }
    };
    assert_eq!(make(old.expose_secret()).await, 401);
    assert_eq!(make(new.expose_secret()).await, 200);
    api.client.get("/x").await;
    migrate(&database.address(), Some(&old)).await.unwrap();
    assert_eq!(
        database
            .number(
                "SELECT count(*) FROM api_keys WHERE managed_by IS NOT NULL AND revoked_at IS NULL"
            )
            .await,
        1
    );
}

fn run(command: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
        .args(command)
        .env_remove("DATABASE_URL")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn failures_say_what_to_do_and_whether_to_try_again() {
    let (code, sentence) = run(&["migrate"], &[]);
    assert_eq!(code, Some(1));
    assert!(sentence.contains("DATABASE_URL is not set"), "{sentence}");
    let words = tempfile::NamedTempFile::new().unwrap();
    let log = words.path().to_str().unwrap();
    let nobody =
        [("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d"), ("AGENTFS_TERMINATION_LOG", log)];
    let (code, sentence) = run(&["migrate"], &nobody);
    assert_eq!(code, Some(75), "{sentence}");
    assert!(sentence.contains("127.0.0.1:1") && !sentence.contains("hunter2"), "{sentence}");
    assert!(std::fs::read_to_string(log).unwrap().contains("127.0.0.1:1"));
    let (code, sentence) = run(&["serve"], &[("DATABASE_URL", "nonsense"), ("PORT", "x")]);
    assert_eq!(code, Some(1));
    assert!(
        sentence.contains("DATABASE_URL is not valid") && sentence.contains("PORT is \"x\""),
        "{sentence}"
    );
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, sentence) =
        run(&["serve"], &[("DATABASE_URL", "postgres://u:p@127.0.0.1:1/d"), ("PORT", &port)]);
    assert_eq!(code, Some(1));
    assert!(sentence.contains(&format!("port {port} is in use")), "{sentence}");
}
