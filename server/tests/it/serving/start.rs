//! What a server says that cannot start, or that waits for its database.

use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::support::api::Client;
use crate::support::database::Postgres;
use crate::support::eventually::eventually;
use crate::support::process::{Process, free_port};

/// What `serve` says before it ends with a failure.
fn refusal(settings: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
        .arg("serve")
        .env_remove("DATABASE_URL")
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    said.strip_prefix("agentfs-server: ").expect("its name first").trim_end().to_owned()
}

const DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://u:p@127.0.0.1:1/d");

#[test]
fn wrong_settings_are_named_all_at_once() {
    assert_eq!(
        refusal(&[]),
        "DATABASE_URL is not set; set it to postgres://user:password@host:5432/database (beside `make dev`: `. .agentfs-dev/dev.env`)"
    );
    let said = refusal(&[
        ("DATABASE_URL", "hunter2"),
        ("PORT", "70000"),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "many"),
        ("SEARCH_RATE_LIMIT_PER_MINUTE", "-1"),
        ("PREAUTH_RATE_LIMIT_PER_MINUTE", "1.5"),
        ("TRUST_PROXY", "true"),
        ("ENABLE_METRICS", "maybe"),
        ("MAX_CONNECTIONS", "0"),
        ("KEEP_ALIVE_SECONDS", "never"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
    ]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 11, "{said}");
    assert!(lines[0].starts_with("DATABASE_URL is not valid"), "{said}");
    for line in [
        "PORT is \"70000\"; it must be a number from 1 to 65535",
        "RATE_LIMIT_REQUESTS_PER_MINUTE is \"many\"; it must be a whole number up to 4294967295, 0 for unlimited",
        "TRUST_PROXY is \"true\"; it must be CIDRs with commas between them, such as 10.0.0.0/8,fd00::/8",
        "ENABLE_METRICS is \"maybe\"; it must be true or false",
        "MAX_CONNECTIONS is \"0\"; it must be a number from 10 to 1000000",
        "LOG_FORMAT is \"xml\"; it must be json or text",
    ] {
        assert!(lines.contains(&line), "no {line} in:\n{said}");
    }
    assert!(!said.contains("hunter2"));
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    assert_eq!(
        refusal(&[DATABASE, ("PORT", &port)]),
        format!(
            "port {port} is in use by another program; end it or set PORT to a free port (another agentfs-server takes its PORT + 1 as well, unless its PORT_OPERATIONS says otherwise)"
        )
    );
    let free = free_port().to_string();
    assert_eq!(
        refusal(&[DATABASE, ("PORT", &free), ("PORT_OPERATIONS", &port)]),
        format!(
            "port {port} is in use by another program; end it or set PORT_OPERATIONS, the port of probes and metrics (PORT + 1 unless it is set), to a free port"
        )
    );
}

#[test]
fn help_lists_every_setting() {
    let output = Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
        .args(["serve", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let described: Vec<&str> =
        agentfs_server::settings::Settings::described().map(|setting| setting.name).collect();
    for name in described.iter().chain(&["TRUST_PROXY", "RATE_LIMIT_REQUESTS_PER_MINUTE"]) {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(name)),
            "no {name} in {help}"
        );
    }
}

/// Asks until the answer holds `sentence`.
async fn until_it_says(server: &Process, route: &str, sentence: &str) -> Value {
    let client = Client::new(server.url(), String::new());
    let look = async || match client.http.get(format!("{}{route}", client.url)).send().await {
        Ok(answer) => answer.text().await.unwrap(),
        Err(error) => error.to_string(),
    };
    let said = eventually(sentence, look, |said| said.contains(sentence)).await;
    serde_json::from_str(&said).unwrap()
}

/// Its log is written by a task of its own.
async fn until_it_logs(server: &Process, sentence: &str) {
    eventually(sentence, async || server.log(), |log| log.contains(sentence)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_first_lines_say_which_settings_hold() {
    let misspelt = ("RATE_LIMIT_PER_MINUTE", "5");
    let limit = ("SEARCH_RATE_LIMIT_PER_MINUTE", "7");
    let server = Process::start(&[DATABASE, ("LISTEN", "127.0.0.1"), misspelt, limit]);
    for line in [
        "limits: 7 searches per minute and key, 56 searches per minute and tenant except the default one",
        "RATE_LIMIT_PER_MINUTE is not a setting, so it changes nothing; did you mean RATE_LIMIT_REQUESTS_PER_MINUTE?",
        "serving on 127.0.0.1:",
        "probes and metrics on 127.0.0.1:",
    ] {
        until_it_logs(&server, line).await;
    }
    let worker = Process::start_command("worker", free_port(), &[DATABASE]);
    until_it_logs(&worker, "probes and metrics on [::]:").await;
    until_it_logs(&worker, "no embedding").await;
    assert!(!worker.log().contains("serving on"), "{}", worker.log());
}

#[tokio::test]
async fn while_the_database_is_away_it_says_so_and_waits() {
    let server = Process::start(&[DATABASE]);
    for route in ["/readyz", "/healthz"] {
        let body = until_it_says(&server, route, "127.0.0.1:1: Connection refused").await;
        assert_eq!(body["reason"], "DatabaseUnreachable");
    }
    let waiting = "waiting: cannot reach the database at 127.0.0.1:1: Connection refused";
    until_it_logs(&server, waiting).await;
}

#[tokio::test]
async fn a_database_without_a_free_connection_is_told_from_one_that_is_away() {
    let few = ["--set", "max_connections=5", "--set", "superuser_reserved_connections=0"];
    let postgres = Postgres::start(&few);
    let database = postgres.database().await;
    let mut held = Vec::new();
    while let Ok(connection) = PgConnection::connect(&database.url).await {
        held.push(connection);
    }
    let server = Process::start(&[("DATABASE_URL", &database.url)]);
    let sentence =
        "it has no connection left (sorry, too many clients already); raise its max_connections";
    for route in ["/readyz", "/healthz"] {
        until_it_says(&server, route, sentence).await;
    }
    until_it_logs(&server, sentence).await;
    held.clear();
    // It goes on by itself, to the next thing that is wrong.
    until_it_says(&server, "/readyz", "run `agentfs-server migrate`").await;
}
