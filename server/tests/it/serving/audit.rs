//! The audit log: who did what, and who was refused, by API and by command.

use std::process::Command;

use futures::future::{Either, select};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};
use uuid::Uuid;

use crate::support::api::{Client, new_key};
use crate::support::cli::{admin, agentfs};
use crate::support::database::Database;
use crate::support::eventually::eventually;
use crate::support::process::Process;

const TOKEN: &str = "a bootstrap token of enough letters";
const LABEL: &str = "l4bel-s3cret\nINFO audit act=forged";

/// The lines of the audit log, in JSON.
fn audit(log: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["target"] == "agentfs_server::audit").collect()
}

fn of<'a>(lines: &'a [Value], act: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["act"] == act).collect()
}

/// A server, and the owner of an admin key of the default tenant.
async fn served(settings: &[(&str, &str)]) -> (Database, Process, Client) {
    let database = Database::migrated().await;
    let own = [("DATABASE_URL", database.url.as_str()), ("ADMIN_BOOTSTRAP_TOKEN", TOKEN)];
    let server = Process::start(&[&own, settings].concat());
    let client = Client::new(server.url(), new_key(&database, &["admin"]).await);
    server.wait_until_ready().await;
    (database, server, client)
}

async fn log_of(mut server: Process) -> String {
    server.terminate();
    server.ended().await;
    server.log()
}

#[tokio::test]
async fn acts_are_recorded_at_every_log_level_without_secrets() {
    let (_database, server, client) = served(&[("LOG_LEVEL", "error")]).await;
    let id = client.key.split_once('.').unwrap().0.to_owned();
    let made = client.ok("/v1/admin/create-tenant", json!({"name": "acme"})).await;
    let wanted = json!({"tenant_id": made["tenant_id"], "label": LABEL, "scopes": ["admin"]});
    let key = client.request("/v1/admin/create-key", &wanted.to_string());
    let key = key.header("x-request-id", "the-one").send().await.unwrap();
    let key: Value = key.json().await.unwrap();
    client.with_key(TOKEN).ok("/v1/admin/create-key", json!({})).await;
    client.ok("/v1/admin/embeddings/requeue", json!({"status": "failed"})).await;
    client.ok("/v1/admin/revoke-key", json!({"key_id": key["key_id"]})).await;
    let wrong = json!({"tenant_id": Uuid::new_v4()});
    client.error("/v1/admin/create-key", wrong).await;
    let log = log_of(server).await;
    for secret in [TOKEN, "l4bel", "act=forged", key["api_key"].as_str().unwrap(), &client.key] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    let lines = audit(&log);
    let created = of(&lines, "create_key");
    assert_eq!(created.len(), 2, "{log}");
    let line = created[0];
    assert_eq!((&line["by"], &line["id"]), (&json!(id), &key["key_id"]), "{line}");
    assert_eq!((&line["tenant"], &line["client"]), (&made["tenant_id"], &json!("127.0.0.1")));
    assert_eq!((&line["request_id"], &line["outcome"]), (&json!("the-one"), &json!("done")));
    assert_eq!(line["detail"], "scopes admin; expires never");
    assert_eq!(created[1]["by"], "bootstrap token");
    assert_eq!(of(&lines, "use_bootstrap_token").len(), 1, "{log}");
    assert_eq!(of(&lines, "create_tenant")[0]["id"], made["tenant_id"]);
    assert_eq!(of(&lines, "revoke_key")[0]["id"], key["key_id"]);
    assert_eq!(of(&lines, "requeue_jobs")[0]["detail"], "0 jobs");
}

/// Changes of keys wait at their COMMIT for whoever holds the advisory lock 1.
const COMMIT_WAITS: &str = "
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('lock_timeout', '0', true), set_config('statement_timeout', '0', true);
    PERFORM pg_advisory_xact_lock_shared(1);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER wait AFTER UPDATE ON api_keys
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()";

#[tokio::test]
async fn what_is_committed_after_its_client_has_gone_is_recorded_as_done() {
    let (database, server, client) = served(&[]).await;
    let wanted = json!({"scopes": ["admin"]});
    let key = client.ok("/v1/admin/create-key", wanted.clone()).await;
    let maker = client.with_key(key["api_key"].as_str().unwrap());
    let made = maker.ok("/v1/admin/create-key", wanted).await;
    database.execute(COMMIT_WAITS).await;
    let mut locker = database.connect().await;
    let mut lock = locker.begin().await.unwrap();
    lock.execute("SELECT pg_advisory_xact_lock(1)").await.unwrap();
    let connections = async || {
        let metrics = client.http.get(format!("{}/metrics", server.operations_url())).send().await;
        let metrics = metrics.unwrap().text().await.unwrap();
        let open = metrics.lines().find_map(|line| line.strip_prefix("agentfs_http_connections "));
        open.map(str::to_owned)
    };
    let before = connections().await;
    let leaving = client.unpooled();
    let body = json!({"key_id": key["key_id"], "descendants": true});
    let revocation = Box::pin(leaving.try_post("/v1/admin/revoke-key", body));
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'";
    let committing = Box::pin(database.until(waiting, 1));
    let Either::Right(((), revocation)) = select(revocation, committing).await else {
        panic!("it is answered before it is committed");
    };
    drop(revocation);
    drop(leaving);
    eventually("the client is gone", connections, |open| *open == before).await;
    lock.rollback().await.unwrap();
    let recorded = async || {
        let lines = audit(&server.log());
        let of_revocation = of(&lines, "revoke_key").into_iter().map(|line| {
            let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
            (text("id"), text("outcome"))
        });
        of_revocation.collect::<Vec<_>>()
    };
    let done = |key: &Value| (key["key_id"].as_str().unwrap().to_owned(), "done".to_owned());
    let both = [done(&key), done(&made)];
    eventually("both are recorded", recorded, |lines| *lines == both).await;
}

#[tokio::test]
async fn refusals_are_recorded_one_by_one_and_then_counted() {
    let (database, server, client) = served(&[]).await;
    let id = client.key.split_once('.').unwrap().0.to_owned();
    let get = json!({"agent_id": "ada", "path": "/x"});
    let stranger = new_key(&database, &[]).await;
    let guess = client.with_key(&format!("{id}.{}", stranger.split_once('.').unwrap().1));
    for n in 0..30 {
        let status = guess.post("/v1/get", get.clone()).await.0.as_u16();
        assert_eq!(status, if n < 10 { 401 } else { 429 });
    }
    for _ in 0..15 {
        client.with_key("s0mething-else").post("/v1/get", get.clone()).await;
    }
    let reader = client.with_key(&new_key(&database, &["memory:read"]).await);
    reader.post("/v1/put", json!({"agent_id": "ada", "path": "/x", "value": 1})).await;
    let log = log_of(server).await;
    assert!(!log.contains("s0mething-else"), "{log}");
    let lines = audit(&log);
    // A new minute may have begun meanwhile.
    let told = |act, sent: u64| {
        let (counted, alone): (Vec<_>, Vec<_>) =
            of(&lines, act).into_iter().partition(|line| line.get("count").is_some());
        assert!(alone.len() >= 10 && (alone.len() as u64) < sent, "{act}: {log}");
        let counted: u64 = counted.iter().map(|line| line["count"].as_u64().unwrap()).sum();
        assert_eq!(alone.len() as u64 + counted, sent, "{act}: {log}");
        alone
    };
    for line in told("failed_login", 25).into_iter().take(10) {
        assert_eq!((&line["id"], &line["client"]), (&json!(id), &json!("127.0.0.1")), "{line}");
        assert_eq!((line.get("by"), &line["level"]), (None, &json!("WARN")));
    }
    told("lockout", 20);
    let forbidden = of(&lines, "forbidden");
    assert_eq!(forbidden.len(), 1, "{log}");
    assert_eq!(forbidden[0]["by"], reader.key.split_once('.').unwrap().0);
    assert_eq!(
        (&forbidden[0]["code"], &forbidden[0]["tenant"]),
        (&json!("FORBIDDEN"), &json!(Uuid::nil()))
    );
}

#[tokio::test]
async fn what_is_done_by_command_is_recorded_on_standard_error() {
    let database = Database::migrated().await;
    let made = admin(&database, &["create-key", "--label", LABEL]);
    let lines = audit(&made.err);
    assert_eq!((lines.len(), &lines[0]["by"]), (1, &json!("command")), "{made:?}");
    let (id, secret) = made.out.trim().split_once('.').unwrap();
    assert_eq!(lines[0]["id"], id);
    assert!(!made.err.contains(secret) && !made.err.contains("l4bel"), "{made:?}");
    let tenant = Uuid::nil().to_string();
    for (command, act) in [
        (vec!["create-tenant", "acme"], "create_tenant"),
        (vec!["revoke-key", id], "revoke_key"),
        (vec!["requeue", "--status", "failed"], "requeue_jobs"),
        (vec!["quota", "reset", "--tenant", &tenant], "reset_quota"),
    ] {
        let said = admin(&database, &command);
        assert_eq!(of(&audit(&said.err), act).len(), 1, "{said:?}");
    }
    assert_eq!(audit(&admin(&database, &["revoke-key", id]).err).len(), 0, "nothing was changed");
    assert_eq!(audit(&admin(&database, &["list-keys"]).err).len(), 0);

    let keys = [(); 2].map(|()| new_admin_key());
    for (key, expected) in [(&keys[0], 1), (&keys[0], 0), (&keys[1], 2)] {
        let said = agentfs(
            &["migrate"],
            &[("DATABASE_URL", &database.url), ("AGENTFS_ADMIN_KEY", key), ("LOG_LEVEL", "error")],
        );
        assert_eq!(audit(&said.out).len(), expected, "{said:?}");
        assert!(!said.out.contains(key.split_once('.').unwrap().1), "{said:?}");
    }
    let text = Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
        .args(["admin", "create-key"])
        .envs([("DATABASE_URL", database.url.as_str()), ("LOG_FORMAT", "text")])
        .output()
        .unwrap();
    let text = String::from_utf8(text.stderr).unwrap();
    assert!(
        text.contains(" INFO audit act=\"create_key\" outcome=\"done\" by=\"command\""),
        "{text}"
    );
}

fn new_admin_key() -> String {
    use agentfs_server::domain::access::api_key::ApiKey;
    use secrecy::ExposeSecret as _;
    ApiKey::generate().reveal().expose_secret().to_owned()
}
