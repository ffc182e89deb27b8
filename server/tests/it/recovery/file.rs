//! `agentfs-server restore --file`: dumps of PostgreSQL's own `pg_dump`, which have no manifest.

use std::fs;

use agentfs_server::store::schema::SCHEMA_VERSION;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::api::Api;
use crate::support::cli::{Said, agentfs};
use crate::support::database::{Database, shared};
use crate::support::shell::Shell;

/// Restores a file into a new database, as the superuser.
fn restore(database: &Database, file: &str, name: &str, arguments: &[&str]) -> Said {
    let programs = shared().programs().to_str().unwrap();
    let fixed = ["restore", "--file", file, "--into-database", name, "--pg-bin", programs];
    let url = database.superuser_url.as_str();
    agentfs(&[&fixed, arguments].concat(), &[("DATABASE_URL", url)])
}

fn new_name() -> String {
    format!("restored_{}", Uuid::new_v4().simple())
}

/// The database `name` beside another one.
fn beside(database: &Database, name: &str) -> Database {
    let superuser_url = format!("{}/{name}", database.superuser_url.rsplit_once('/').unwrap().0);
    Database { url: superuser_url.clone(), superuser_url }
}

async fn execute(database: &Database, sql: String) {
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    superuser.execute(AssertSqlSafe(sql)).await.unwrap();
}

/// A folder for a dump, and the dump's path in it.
fn place() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("backup_1.dump").to_str().unwrap().to_owned();
    (folder, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_dump_is_restored_and_what_cannot_be_checked_is_told() {
    let (api, database) = Api::start().await;
    api.client.put("/notes/lunch", json!("peanuts")).await;
    // What a restore in place keeps of before, and what is others'.
    execute(
        &database,
        "CREATE SCHEMA agentfs_old; CREATE TABLE agentfs_old.entries (LIKE public.entries);
         INSERT INTO agentfs_old.entries SELECT * FROM public.entries; CREATE TABLE public.others (id int PRIMARY KEY);
         INSERT INTO public.others VALUES (1); CREATE VIEW public.named AS SELECT name FROM public.tenants;
         CREATE FUNCTION public.twice(n int) RETURNS int LANGUAGE sql AS $$ SELECT n;\n SELECT 2 * n; $$"
            .to_owned(),
    )
    .await;
    let (folder, file) = place();
    let shell = Shell::of_superuser(&database, folder.path());
    shell.line("pg_dump -Fc -f backup_1.dump").await;

    let name = new_name();
    let restored = restore(&database, &file, &name, &["--output", "json"]).json();
    let id = restored["backup"].as_str().unwrap();
    assert!(id.starts_with("backup_1@") && id.len() == "backup_1@".len() + 12, "{id}");
    assert_eq!(restored["location"], json!(file));
    let notes = restored["notes"].to_string();
    for told in [
        "no manifest",
        "of which database",
        "FUNCTION twice",
        "TABLE others",
        "VIEW named",
        "the schema agentfs_old",
    ] {
        assert!(notes.contains(told), "{told}: {notes}");
    }
    let new = beside(&database, &name);
    let replica = api.replica(&new, &[]).await;
    assert_eq!(replica.client.get("/notes/lunch").await["value"], json!("peanuts"));
    let others = "SELECT count(*) FROM pg_class WHERE relname IN ('others', 'named') OR relnamespace = to_regnamespace('agentfs_old')";
    assert_eq!(new.number(others).await, 0);

    let said = restore(&database, &file, &new_name(), &[]).text();
    assert!(said.contains("It has no manifest") && !said.contains("verify"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_the_four_tables_becomes_a_database() {
    let (api, database) = Api::start().await;
    api.client.put("/notes/lunch", json!("peanuts")).await;
    let (folder, file) = place();
    let shell = Shell::of_owner(&database, folder.path());
    shell
        .line("pg_dump -Fc -t tenants -t api_keys -t entries -t entry_versions -f backup_1.dump")
        .await;
    let name = new_name();
    let said = restore(&database, &file, &name, &[]).text();
    assert!(said.contains("does not say which schema it has"), "{said}");
    let replica = api.replica(&beside(&database, &name), &[]).await;
    assert_eq!(replica.client.get("/notes/lunch").await["value"], json!("peanuts"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_dump_of_ours_is_refused_and_leaves_nothing() {
    let (api, database) = Api::start().await;
    api.client.put("/notes/lunch", json!("peanuts ".repeat(10_000))).await;
    let (folder, file) = place();
    let shell = Shell::of_owner(&database, folder.path());
    let name = new_name();
    let refused = |told: &str| {
        let said = restore(&database, &file, &name, &[]).failure();
        assert!(said.contains(told), "{told}: {said}");
    };
    refused("No such file");
    fs::write(&file, "not a dump").unwrap();
    refused("no file of `pg_dump -Fc`");
    fs::write(&file, "").unwrap();
    refused("it is empty");
    for (dump, told) in [
        ("pg_dump -f backup_1.dump", "a dump in plain SQL"),
        ("pg_dump -Ft -f backup_1.dump", "another format"),
        ("pg_dump -Fc -t tenants -f backup_1.dump", "no tables of AgentFS"),
        ("pg_dump -Fc -T entry_versions -f backup_1.dump", "entry_versions: the dump has no data"),
        ("pg_dump -Fc --schema-only -f backup_1.dump", "schema_version is empty"),
        (
            "pg_dump -Fc --exclude-table-data=entries -f backup_1.dump",
            "entries: the dump has no data",
        ),
    ] {
        shell.line(dump).await;
        refused(told);
    }
    shell.line("pg_dump -Fc -f backup_1.dump").await;
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 20_000]).unwrap();
    let said = restore(&database, &file, &name, &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    database.execute("UPDATE schema_version SET version = 1000, min_compatible = 1").await;
    shell.line("pg_dump -Fc -f backup_1.dump").await;
    refused("schema version 1000, and this program knows up to");

    // What AgentFS does not have would be executed.
    let ours = format!("UPDATE schema_version SET version = {SCHEMA_VERSION}");
    database.connect().await.execute(AssertSqlSafe(ours)).await.unwrap();
    database.execute("CREATE SEQUENCE counted").await;
    shell.line("pg_dump -Fc -f backup_1.dump").await;
    refused("foreign DDL");
    let named = format!("SELECT count(*) FROM pg_database WHERE starts_with(datname, '{name}')");
    let mut connection = database.connect().await;
    let named: i64 =
        sqlx::query_scalar(AssertSqlSafe(named)).fetch_one(&mut connection).await.unwrap();
    assert_eq!(named, 0);
}
