//! What a line may be, and that what is exported can be imported.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{PATHS, VERSIONS, note, run, write};
use crate::support::api::Api;
use crate::support::database::Database;

/// Values whose tokens must stay as they are.
const VALUES: [&str; 6] = [
    "null",
    "1.0",
    "1e2",
    r#""\u00e9 é 😀""#,
    r#"{"b":[],"a":{"":-0}}"#,
    "123456789012345678901234567890",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_and_imported_is_a_copy() {
    let (api, _db) = Api::start().await;
    for (number, value) in VALUES.iter().enumerate() {
        let put = format!(
            r#"{{"agent_id":"ada","path":"/é \"{number}\"/x","value":{value},"tags":["a","b {number}"],"importance":0.1,"searchable":true}}"#
        );
        let answer = api.client.request("/v1/put", &put).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{put}");
    }
    let brief = json!({"agent_id": "ada", "path": "/brief", "value": 1, "ttl_seconds": 3600});
    api.client.ok("/v1/put", brief).await;
    // More than a page, and more than a batch.
    let folder = tempfile::tempdir().unwrap();
    let many = folder.path().join("many");
    write(&many, 1..=1100, note);
    let many = many.to_str().unwrap();
    run(&api.client, &["import", "--agent", "ada", "--file", many]).text();

    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let (one, other) = (one.to_str().unwrap(), other.to_str().unwrap());
    let said = run(&api.client, &["export", "--agent", "ada", "--file", one]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), "1107 entries exported\n"), "{said:?}");
    assert_eq!(fs::metadata(one).unwrap().permissions().mode() & 0o777, 0o600);
    let imported = run(&api.client, &["import", "--agent", "copy", "--file", one]).text();
    assert_eq!(imported, "1107 entries imported");
    run(&api.client, &["export", "--agent", "copy", "--file", other]);
    let (one, other) = (fs::read_to_string(one).unwrap(), fs::read_to_string(other).unwrap());
    let split = |text: &str| -> (Vec<String>, Vec<Value>) {
        let (brief, lines): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.contains("expires_at"));
        let brief = brief.iter().map(|line| serde_json::from_str(line).unwrap());
        (lines.into_iter().map(str::to_owned).collect(), brief.collect())
    };
    let ((lines, brief), (copied, copied_brief)) = (split(&one), split(&other));
    assert_eq!((lines.len(), brief.len()), (1106, 1));
    assert_eq!(lines, copied);
    for value in VALUES {
        assert!(lines.iter().any(|line| line.contains(&format!(r#""value":{value},"#))), "{value}");
    }
    let expiry = |line: &Value| line["expires_at"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let later = expiry(&copied_brief[0]).duration_since(expiry(&brief[0]));
    assert!((SignedDuration::ZERO..SignedDuration::from_secs(10)).contains(&later), "{later}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_memory_goes_by_a_pipe_to_below_another_path() {
    let (api, _db) = Api::start().await;
    for path in ["/notes", "/notes/a", "/notes-old/a", "/other"] {
        api.client.put(path, json!(path)).await;
    }
    let pipe =
        "$0 export --agent ada --prefix /notes | $0 import --agent bob --prefix /from/ada --file -";
    let output = Command::new("sh")
        .args(["-c", pipe, env!("CARGO_BIN_EXE_agentfs-server")])
        .env("AGENTFS_URL", &api.client.url)
        .env("AGENTFS_API_KEY", &api.client.key)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let dump = api.client.ok("/v1/dump", json!({"agent_id": "bob"})).await;
    let paths: Vec<_> = dump["entries"].as_array().unwrap().iter().map(|e| &e["path"]).collect();
    assert_eq!(paths, ["/from/ada/notes", "/from/ada/notes/a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_lines_are_all_told_and_nothing_is_sent_before_they_are_mended() {
    let (api, db) = Api::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.jsonl");
    let path = file.to_str().unwrap();
    let wrong = [
        (r#"{"path":"/a","value":"#, "it ends where a value is expected at column 21"),
        (r#"{"path":"a","value":1}"#, "path must start with '/', got \"a\""),
        (r#"{"path":"/a","value":1,"serachable":true}"#, "did you mean `searchable`?"),
    ];
    let lines: Vec<String> = (1..=150)
        .map(|number| note(number).to_string())
        .chain(wrong.iter().map(|(line, _)| (*line).to_owned()))
        .collect();
    fs::write(&file, lines.join("\n\n")).unwrap();
    let said = run(&api.client, &["import", "--agent", "ada", "--file", path]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
    assert!(
        said.err.contains("nothing was imported in this run; fix or remove these lines"),
        "{said:?}"
    );
    for (index, (_, why)) in wrong.iter().enumerate() {
        let line = format!("  line {}: ", 301 + 2 * index);
        let told = said.err.lines().find(|told| told.starts_with(&line)).expect(&said.err);
        assert!(told.contains(why), "{told}");
    }
    assert_eq!(db.number(VERSIONS).await, 0);

    let expired = json!({"path": "/gone", "value": 1, "expires_at": "2020-01-01T00:00:00Z"});
    fs::write(&file, lines[..150].join("\n") + "\n" + &expired.to_string() + "\n").unwrap();
    let imported = run(&api.client, &["import", "--agent", "ada", "--file", path]).text();
    assert_eq!(imported, "150 entries imported; 1 had expired");
    assert_eq!((db.number(VERSIONS).await, db.number(PATHS).await), (150, 150));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_follows_the_largest_body_that_the_server_takes() {
    let database = Database::migrated().await;
    let larger = Api::start_with(&database, &[], &[("MAX_BODY_BYTES", "3000000")]).await;
    let usual = larger.replica(&database, &[]).await;
    let smaller = larger.replica(&database, &[("MAX_BODY_BYTES", "65536")]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.jsonl");
    let import = |api: &Api, agent: &str| {
        run(&api.client, &["import", "--agent", agent, "--file", file.to_str().unwrap()])
    };
    // Each is small, and all of them are more than a body.
    let note = |number: u32| json!({"path": format!("/n/{number}"), "value": "x".repeat(1000)});
    write(&file, 1..=99, note);
    assert_eq!(import(&smaller, "bob").text(), "99 entries imported");

    let large = |path: &str, bytes: usize| json!({"path": path, "value": "x".repeat(bytes)});
    let lines = [
        note(1),
        large("/huge", 3_000_000),
        note(2),
        large("/large", 2_000_000),
        note(3),
        large("/impossible", 8 << 20),
    ];
    fs::write(&file, lines.map(|line| line.to_string()).join("\n")).unwrap();
    let said = import(&larger, "ada");
    assert_eq!((said.code, said.out.as_str()), (Some(1), "4 entries imported\n"), "{said:?}");
    for told in [
        "line 2: \"/huge\" is left out: it has 30001",
        "and the server takes 3000000; set its MAX_BODY_BYTES to at least 30001",
        "line 6: \"/impossible\" is left out",
        "make the value smaller, since no server takes more than 8388608",
        "entries left out as larger than the server takes: 2;",
    ] {
        assert!(said.err.contains(told), "{told}: {said:?}");
    }
    let large = larger.client.get("/large").await;
    assert_eq!(large["size"], 2_000_002);
    assert_eq!(larger.client.get("/n/3").await["found"], true);
    let said = import(&usual, "eve");
    assert!(
        said.code == Some(1) && said.err.contains("line 4: \"/large\" is left out"),
        "{said:?}"
    );
    assert_eq!(said.out, "3 entries imported\n");
    // What is stored can be exported, however large it is.
    let out = run(&usual.client, &["export", "--agent", "ada"]).out;
    assert_eq!(out.lines().count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said_and_the_key_is_no_argument() {
    let (api, _db) = Api::start().await;
    let nothing = [("AGENTFS_URL", ""), ("AGENTFS_API_KEY", "")];
    let import = ["import", "--agent", "ada", "--file", "/nowhere/notes.jsonl"];
    let agentfs = crate::support::cli::agentfs;
    assert!(agentfs(&import, &nothing).failure().contains("give --url, or set AGENTFS_URL"));
    let with_url = [("AGENTFS_URL", api.client.url.as_str()), nothing[1]];
    assert!(agentfs(&import, &with_url).failure().contains("AGENTFS_API_KEY is not set"));
    assert!(run(&api.client, &import).failure().contains("/nowhere/notes.jsonl cannot be read"));
    let export = ["export", "--agent", "ada"];
    let stranger = api.client.with_key("agfs_live_AAAAAAAAAAA.x");
    assert!(run(&stranger, &export).failure().contains("(UNAUTHORIZED)"));
    let help = agentfs(&["import", "--help"], &nothing).text();
    assert!(!help.contains("--key") && help.contains("AGENTFS_API_KEY"), "{help}");
}
