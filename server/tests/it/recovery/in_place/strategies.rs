//! `restore --in-place` by renaming databases: what it brings back, keeps, refuses, and how it is undone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agentfs_server::store::databases::carried;
use agentfs_server::store::in_place::security::{Keys, Security};
use reqwest::Url;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use super::site::{Site, WRITES, lost, new_key, status};
use crate::support::api::{Api, Client};
use crate::support::cli::{Said, admin, admin_json};
use crate::support::database::Database;
use crate::support::eventually::eventually;

const BY_NAME: [&str; 2] = ["--strategy", "rename-database"];

#[tokio::test(flavor = "multi_thread")]
async fn a_database_takes_the_place_of_the_live_one_and_gives_it_back() {
    let (api, database) = Api::start().await;
    let site = Site::of(&database);
    let names = site.names();
    api.client.put("/notes/lunch", json!("peanuts")).await;
    let ((revoked, revoked_key), (later, later_key)) = (new_key(&database), new_key(&database));
    site.back_up();
    admin(&database, &["revoke-key", &revoked]).text();
    let (_, new) = new_key(&database);
    let tenant = admin_json(&database, &["create-tenant", "acme"])["tenant_id"].clone();
    let key = ["create-key", "--tenant", tenant.as_str().unwrap(), "--scope", "admin"];
    let acme = admin_json(&database, &key)["api_key"].as_str().unwrap().to_owned();
    api.client.put("/notes/lunch", json!("crackers")).await;
    api.client.put("/notes/dinner", json!("soup")).await;
    api.client.with_key(&acme).put("/of/acme", json!(1)).await;

    // What a dump says nothing of.
    let reader = format!("reader_{}", Uuid::new_v4().simple());
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let give = format!(
        "CREATE ROLE {reader}; GRANT SELECT ON entries TO {reader};
         ALTER DATABASE {live} SET work_mem = '5MB'; ALTER DATABASE {live} SET search_path = \"$user\", public;
         REVOKE CONNECT ON DATABASE {live} FROM PUBLIC; GRANT CONNECT ON DATABASE {live} TO {reader} WITH GRANT OPTION;
         COMMENT ON DATABASE {live} IS 'it''s mine'; CREATE VIEW usage AS SELECT 1 AS one",
        live = names.live
    );
    superuser.execute(AssertSqlSafe(give)).await.unwrap();
    drop(superuser);
    let writes = database.number(WRITES).await;

    let said = site.restore(&BY_NAME);
    let restored: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    assert_eq!((&restored["had_switched"], lost(&restored)), (&json!(false), 3), "{restored}");
    assert!(restored["notes"].to_string().contains("the view usage"), "{restored}");
    assert_eq!(site.databases().await, [names.live.clone(), names.previous.clone()]);
    api.until_served().await;
    assert_eq!(api.client.get("/notes/lunch").await["value"], json!("peanuts"));
    assert_eq!(api.client.get("/notes/dinner").await, json!({"found": false}));
    assert_eq!(status(&api, &database, &revoked_key).await, 401);
    assert_eq!(status(&api, &database, &new).await, 200);
    assert_eq!(status(&api, &database, &acme).await, 200);
    assert_eq!(database.number(WRITES).await, writes, "no day's quota is refilled");

    let given = format!(
        "SELECT has_table_privilege('{reader}', 'entries', 'SELECT') AND has_database_privilege('{reader}', current_database(), 'CONNECT')
                AND current_setting('work_mem') = '5MB' AND current_setting('search_path') = '\"$user\", public'
                AND NOT EXISTS (SELECT FROM pg_database CROSS JOIN aclexplode(datacl) WHERE datname = current_database() AND grantee = 0
                                   AND privilege_type = 'CONNECT')
                AND NOT EXISTS (SELECT FROM pg_class WHERE oid IN ('entries'::regclass, '_sqlx_migrations'::regclass)
                                   AND pg_get_userbyid(relowner) <> 'agentfs')
                AND (SELECT pg_get_userbyid(datdba) = 'agentfs' AND shobj_description(oid, 'pg_database') = 'it''s mine'
                       FROM pg_database WHERE datname = current_database())"
    );
    let is_given: bool = sqlx::query_scalar(AssertSqlSafe(given))
        .fetch_one(&mut site.beside(&names.live).connect().await)
        .await
        .unwrap();
    assert!(is_given);
    assert_eq!(
        database
            .number("SELECT count(*) FROM pg_namespace WHERE nspname = 'agentfs_carried'")
            .await,
        0
    );

    // Undone, a key that was revoked since stays so, and what was written since is in the list.
    admin(&database, &["revoke-key", &later]).text();
    api.client.put("/since", json!(1)).await;
    let lists = ["restore", "--undo", "--yes", "--lost-to", "/nowhere"];
    let said = Site::run(&database.superuser_url, &lists, &[]);
    assert!(said.code == Some(1) && said.err.contains("--lost-to lists"), "{said:?}");
    let undone = site.undo().json();
    assert_eq!((lost(&undone), &undone["had_switched"]), (1, &json!(false)), "{undone}");
    api.until_served().await;
    assert_eq!(api.client.get("/notes/dinner").await["value"], json!("soup"));
    assert_eq!(api.client.get("/since").await, json!({"found": false}));
    assert_eq!(status(&api, &database, &later_key).await, 401);
    assert_eq!(database.number(WRITES).await, writes + 1);

    // And that can be undone.
    site.undo().json();
    api.until_served().await;
    assert_eq!(api.client.get("/since").await["value"], json!(1));
    assert_eq!(status(&api, &database, &later_key).await, 401);

    let drop = ["restore", "--drop-previous", "--yes"];
    let dropped = Site::run(&database.superuser_url, &drop, &[]).json();
    assert!(dropped["bytes"].as_u64().unwrap() > 0, "{dropped}");
    assert_eq!(site.databases().await, [names.live]);
    let said = site.undo();
    assert!(said.code == Some(1) && said.err.contains("nothing to undo"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_is_brought_to_its_end_by_the_next_and_never_switches_twice() {
    let (api, database) = Api::start().await;
    let site = Site::of(&database);
    let names = site.names();
    api.client.put("/notes/lunch", json!("peanuts")).await;
    site.back_up();
    api.client.put("/notes/lunch", json!("crackers")).await;
    let live = "SELECT oid::bigint FROM pg_database WHERE datname = current_database()";
    let before = database.number(live).await;
    let superuser = &database.superuser_url;
    // Nothing has changed where it ends before the names are.
    for point in ["database-made", "migrated", "switch-locked"] {
        let killed =
            site.restore_after(superuser, &BY_NAME, &[("AGENTFS_FAULT_POINT", point)]).await;
        assert_eq!(killed.code, None, "{point}: {killed:?}");
        let as_before = async || {
            let mut beside = site.beside("postgres").connect().await;
            let oid = "SELECT oid::bigint FROM pg_database WHERE datname = $1";
            sqlx::query_scalar(oid).bind(&names.live).fetch_optional(&mut beside).await.unwrap()
        };
        assert_eq!(as_before().await, Some(before), "{point}");
        api.until_served().await;
        assert_eq!(api.client.get("/notes/lunch").await["value"], json!("crackers"), "{point}");
    }
    let mut switched = None;
    for point in ["switched", "lost-listed", "vectors-indexed"] {
        let killed =
            site.restore_after(superuser, &BY_NAME, &[("AGENTFS_FAULT_POINT", point)]).await;
        assert_eq!(killed.code, None, "{point}: {killed:?}");
        api.until_served().await;
        assert_eq!(api.client.get("/notes/lunch").await["value"], json!("peanuts"), "{point}");
        let now = database.number(live).await;
        assert_eq!(*switched.get_or_insert(now), now, "{point}: never twice");
        assert_ne!(now, before);
    }
    // A backup of the restored one is the latest now; that is not what was asked for.
    site.back_up();
    let ended = site.restore_after(superuser, &BY_NAME, &[]).await.json();
    assert_eq!((&ended["had_switched"], lost(&ended)), (&json!(true), 1), "{ended}");
    assert_eq!(Some(database.number(live).await), switched);
    assert_eq!(site.databases().await, [names.live, names.previous]);

    // A later one is another restore, for which --yes gives up nothing that only the previous database has.
    let refused = site.restore(&BY_NAME);
    assert!(refused.code == Some(1), "{refused:?}");
    assert!(refused.err.contains("1 version that is not live"), "{refused:?}");
    assert_eq!(Some(database.number(live).await), switched);
    assert_eq!(site.undo().json()["had_switched"], json!(false));
    assert_eq!(database.number(live).await, before);
    // What is live has all of it now, and it makes room for what is taken out.
    let again = site.restore(&BY_NAME).json();
    assert_eq!((&again["had_switched"], lost(&again)), (&json!(false), 1), "{again}");
    let now = database.number(live).await;
    assert!(now != before && Some(now) != switched);
    assert_eq!(site.databases().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_are_kept_the_one_that_is_meant_is_named_with_the_other() {
    let (api, database) = Api::start().await;
    let site = Site::of(&database);
    api.client.put("/notes/lunch", json!("peanuts")).await;
    site.back_up();
    let said = site.restore(&[&BY_NAME[..], &["--template", "no_such"]].concat());
    assert!(said.code == Some(1) && said.err.contains("there is no database no_such"), "{said:?}");
    let renamed = site.restore(&BY_NAME).json();
    let swapped = site.restore(&["--free-space", "1TB"]).json();
    let id = |said: &Value| said["id"].as_str().unwrap().to_owned();
    let previous = site.names().previous;
    for option in ["--undo", "--drop-previous"] {
        let said = Site::run(&database.superuser_url, &["restore", option], &[]);
        assert!(said.code == Some(1) && said.err.contains("add --yes"), "{said:?}");
        let (of, note) =
            said.err.split_once("  note   What was live before an earlier").expect(option);
        assert!(of.contains(&id(&swapped)) && of.contains("the schema agentfs_old"), "{said:?}");
        assert!(note.contains(&id(&renamed)) && note.contains(&previous), "{said:?}");
    }
    let drop = ["restore", "--drop-previous", "--yes"];
    let dropped = Site::run(&database.superuser_url, &drop, &[]).json();
    assert_eq!(dropped["restore"], swapped["id"]);
    let said = Site::run(&database.superuser_url, &["restore", "--undo"], &[]);
    assert!(said.err.contains(&id(&renamed)) && !said.err.contains("agentfs_old"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_the_commit_is_no_failure() {
    let (api, database) = Api::start().await;
    let site = Site::of(&database);
    api.client.put("/notes/lunch", json!("peanuts")).await;
    site.back_up();
    api.client.put("/notes/lunch", json!("crackers")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut url = Url::parse(&database.superuser_url).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    url.set_query(Some("sslmode=disable"));
    let is_lost = Arc::new(AtomicBool::new(false));
    let (loses, url) = (is_lost.clone(), url.to_string());
    let proxy = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(lose_answer(client, server, loses.clone()));
        }
    });
    let restore = move || (site.restore_as(&url, &BY_NAME, &[]), site);
    let (said, site) = tokio::task::spawn_blocking(restore).await.unwrap();
    proxy.abort();
    assert!(is_lost.load(Ordering::Relaxed));
    let restored = said.json();
    assert_eq!((&restored["had_switched"], lost(&restored)), (&json!(false), 1), "{restored}");
    assert_eq!(site.databases().await, [site.names().live, site.names().previous]);
    api.until_served().await;
    assert_eq!(api.client.get("/notes/lunch").await["value"], json!("peanuts"));
}

/// Carries a session, but for the answer to the first COMMIT after a rename: there it ends.
async fn lose_answer(mut client: TcpStream, mut server: TcpStream, is_lost: Arc<AtomicBool>) {
    let (mut asked, mut answered) = ([0; 8192], [0; 8192]);
    let mut renames = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(read @ 1..) = read else { return };
                let has = |words: &[u8]| asked[..read].windows(words.len()).any(|found| found == words);
                renames |= has(b" RENAME TO ");
                let commits = renames && has(b"COMMIT");
                server.write_all(&asked[..read]).await.unwrap();
                if commits && !is_lost.swap(true, Ordering::Relaxed) {
                    let _answer = server.read(&mut answered).await.unwrap();
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(read @ 1..) = read else { return };
                if client.write_all(&answered[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_acknowledged_version_is_live_or_in_the_list_of_the_lost() {
    let (api, database) = Api::start().await;
    let site = Site::of(&database);
    api.client.put("/notes/lunch", json!("peanuts")).await;
    site.back_up();
    let goes_on = Arc::new(AtomicBool::new(true));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (client, goes_on) = (api.client.clone(), goes_on.clone());
            tokio::spawn(async move { write(&client, writer, &goes_on).await })
        })
        .collect();
    let (restoring, site) =
        tokio::task::spawn_blocking(move || (site.restore(&BY_NAME), site)).await.unwrap();
    let restored = restoring.json();
    let count = async || database.number("SELECT count(*) FROM entry_versions").await;
    let at_switch = count().await;
    eventually("writes go on", count, |now| *now > at_switch + 20).await;
    goes_on.store(false, Ordering::Relaxed);
    let (mut acknowledged, mut refused) = (BTreeSet::new(), 0);
    for writer in writers {
        let (ids, errors) = writer.await.unwrap();
        acknowledged.extend(ids);
        refused += errors;
    }
    let ids = async |database: &Database| -> BTreeSet<Uuid> {
        let all = sqlx::query_scalar("SELECT id FROM entry_versions");
        all.fetch_all(&mut database.connect().await).await.unwrap().into_iter().collect()
    };
    let live = ids(&database).await;
    let previous = ids(&site.beside(&site.names().previous)).await;
    let gone: BTreeSet<_> = previous.difference(&live).copied().collect();
    assert_eq!(i64::try_from(gone.len()).unwrap(), lost(&restored));
    for id in &acknowledged {
        assert!(live.contains(id) != gone.contains(id), "{id}");
    }
    println!(
        "{} acknowledged, {refused} refused, {:.3} s",
        acknowledged.len(),
        restored["switch_seconds"].as_f64().unwrap()
    );
}

/// Writes until it is to end. Returns the versions that were acknowledged, and how many requests were refused.
async fn write(client: &Client, writer: usize, goes_on: &AtomicBool) -> (Vec<Uuid>, usize) {
    let (mut ids, mut refused) = (Vec::new(), 0);
    for n in 0.. {
        if !goes_on.load(Ordering::Relaxed) {
            break;
        }
        let put =
            json!({"agent_id": "ada", "path": format!("/load/{writer}/{}", n % 50), "value": n});
        match client.post("/v1/put", put).await {
            (status, body) if status == 200 => {
                ids.push(body["version_id"].as_str().unwrap().parse().unwrap());
            }
            (status, body) => {
                // A session that ended, or a moment without a database: to be sent again.
                assert_eq!(status, 503, "{body}");
                refused += 1;
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
    (ids, refused)
}

#[tokio::test]
async fn what_is_written_between_copy_and_rename_is_brought_over_once() {
    let (live, new) = (Database::migrated().await, Database::migrated().await);
    let (revoked, _) = new_key(&live);
    let (ours, _) = new_key(&new);
    let day = "INSERT INTO quota_usage (tenant_id, day, writes, bytes) VALUES ('00000000-0000-0000-0000-000000000000', '2026-11-29', 10, 7)";
    live.execute(day).await;
    let carry = async |security, keys| {
        let (mut from, mut to) = (live.connect().await, new.connect().await);
        carried::carry(&mut from, &mut to, security, keys).await.unwrap()
    };
    let carried = carry(Security::Live, Keys::Added).await;
    assert_eq!((carried.tenants, carried.keys, carried.left_out), (0, 1, 0));
    let carried = carry(Security::Live, Keys::LeftOut).await;
    assert_eq!((carried.keys, carried.left_out), (0, 1), "{ours}");

    // Between the copy and the rename.
    let (later, _) = new_key(&live);
    admin(&live, &["revoke-key", &revoked]).text();
    live.execute("UPDATE quota_usage SET writes = writes + 5; UPDATE tenants SET name = 'renamed'")
        .await;
    // After it.
    let (since, _) = new_key(&new);
    new.execute("UPDATE quota_usage SET writes = writes + 3, bytes = bytes + 1").await;
    for _ in 0..2 {
        let (mut from, mut to) = (live.connect().await, new.connect().await);
        carried::carry_rest(&mut from, &mut to).await.unwrap();
    }
    let is_live = async |id: &str| -> Option<bool> {
        let asked = sqlx::query_scalar("SELECT revoked_at IS NULL FROM api_keys WHERE id = $1");
        asked.bind(id).fetch_optional(&mut new.connect().await).await.unwrap()
    };
    assert_eq!(is_live(&revoked).await, Some(false));
    assert_eq!((is_live(&later).await, is_live(&since).await), (Some(true), Some(true)));
    assert_eq!(is_live(&ours).await, None);
    let used: (i64, i64) = sqlx::query_as("SELECT writes, bytes FROM quota_usage")
        .fetch_one(&mut new.connect().await)
        .await
        .unwrap();
    assert_eq!(used, (18, 8));
    assert_eq!(new.number("SELECT count(*) FROM tenants WHERE name = 'renamed'").await, 1);

    // The backup's alone, but for what was used.
    let carried = carry(Security::FromBackup, Keys::Added).await;
    assert_eq!((carried.tenants, carried.keys, carried.left_out), (0, 0, 0));
    assert_eq!(new.number("SELECT sum(writes)::bigint FROM quota_usage").await, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_named_and_nothing_has_changed() {
    let database = Database::migrated().await;
    let site = Site::of(&database);
    site.back_up();
    let names = site.names();
    let refused = |said: Said, code: i32, words: &[&str]| {
        assert_eq!(said.code, Some(code), "{said:?}");
        assert!(words.iter().all(|word| said.err.contains(word)), "{words:?}: {said:?}");
    };
    // Its role may not.
    let said = site.restore_as(&database.url, &BY_NAME, &[]);
    refused(said, 1, &["ALTER ROLE agentfs CREATEDB", "swap-schema"]);

    // A superuser's session, which a role of less may not end.
    let role = format!("owner_{}", Uuid::new_v4().simple());
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let make = format!("CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'secret' IN ROLE agentfs");
    superuser.execute(AssertSqlSafe(make)).await.unwrap();
    let server = database.url.rsplit_once('@').unwrap().1;
    let url = format!("postgres://{role}:secret@{server}");
    let pid: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut superuser).await.unwrap();
    let session = format!("session {pid} (");
    refused(site.restore_as(&url, &BY_NAME, &[]), 1, &["may not end", &session, "swap-schema"]);
    superuser.close().await.unwrap();

    // Another restore of that name, which holds its turn by another database.
    let mut other = PgConnection::connect(&Database::empty().await.superuser_url).await.unwrap();
    let hold = format!(
        "SELECT pg_advisory_lock(hashtextextended('agentfs-server database {}', 0))",
        names.unfinished
    );
    other.execute(AssertSqlSafe(hold)).await.unwrap();
    refused(site.restore(&BY_NAME), 75, &["under way"]);
    other.close().await.unwrap();

    // A migration under way.
    let mut migration = database.connect().await;
    let lock = "SELECT pg_advisory_lock('x006167656e746673'::bit(64)::bigint)";
    migration.execute(lock).await.unwrap();
    refused(site.restore(&BY_NAME), 75, &["a migration", "session"]);
    migration.close().await.unwrap();

    // Rights would be given without the policies that limit them.
    let policy = "CREATE POLICY own ON entries USING (agent_id = current_user)";
    database.execute(policy).await;
    refused(site.restore(&BY_NAME), 1, &["entries", "swap-schema"]);
    database
        .execute("DROP POLICY own ON entries; ALTER TABLE embeddings ENABLE ROW LEVEL SECURITY")
        .await;
    refused(site.restore(&BY_NAME), 1, &["embeddings", "swap-schema"]);
    database.execute("ALTER TABLE embeddings DISABLE ROW LEVEL SECURITY").await;

    // Room that is known to be too little.
    refused(site.restore(&[&BY_NAME[..], &["--free-space", "1kB"]].concat()), 1, &["are free"]);

    // Something of that name.
    let mut superuser = PgConnection::connect(&site.beside("postgres").url).await.unwrap();
    let make = format!("CREATE DATABASE {} TEMPLATE template0", names.previous);
    superuser.execute(AssertSqlSafe(make)).await.unwrap();
    refused(site.restore(&BY_NAME), 1, &[&names.previous, "rename or drop it"]);
    refused(site.undo(), 1, &[]);
    assert_eq!(site.databases().await, [names.live, names.previous]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_has_set_for_itself_is_given_and_never_run() {
    let database = Database::migrated().await;
    let site = Site::of(&database);
    site.back_up();
    let live = site.names().live;
    let role = format!("me_{}", Uuid::new_v4().simple());
    let value = format!("x;ALTER/**/ROLE/**/{role}/**/SUPERUSER");
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let set = format!(
        "CREATE ROLE {role}; SET ROLE {role}; SELECT set_config('search_path', '{value}', false);
         ALTER ROLE {role} IN DATABASE {live} SET search_path FROM CURRENT;
         ALTER ROLE {role} IN DATABASE {live} SET application_name = '{value}''\\'"
    );
    superuser.execute(AssertSqlSafe(set)).await.unwrap();
    superuser.close().await.unwrap();
    let settings =
        "SELECT rolsuper, setconfig FROM pg_roles r JOIN pg_db_role_setting s ON s.setrole = r.oid
                       JOIN pg_database d ON d.oid = s.setdatabase
                     WHERE rolname = $1 AND datname = $2";
    let settings = async || -> (bool, Vec<String>) {
        let mut beside = site.beside("postgres").connect().await;
        let settings = sqlx::query_as(settings).bind(&role).bind(&live);
        let (is_super, mut settings): (_, Vec<String>) =
            settings.fetch_one(&mut beside).await.unwrap();
        settings.sort();
        (is_super, settings)
    };
    let before = settings().await;
    assert!(!before.0 && before.1[1] == format!("search_path={value}"), "{before:?}");
    let restored = site.restore(&BY_NAME).json();
    assert!(!restored["notes"].to_string().contains("could not be given"), "{restored}");
    assert_eq!(settings().await, before);
}
