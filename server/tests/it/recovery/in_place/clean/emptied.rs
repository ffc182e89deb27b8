//! What becomes of live tables that are empty, since the run that was to fill them has ended.

use agentfs_contract::termination::AlreadyDone;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};
use tempfile::NamedTempFile;

use super::UNFINISHED;
use crate::recovery::in_place::site::{Site, lost};
use crate::support::api::Api;
use crate::support::cli::Said;
use crate::support::database::Database;
use crate::support::eventually::eventually;

const BEGUN: &str = "SELECT count(*) FROM agentfs_meta.requests WHERE ended_at IS NULL";
const PROVEN: [&str; 4] = ["--strategy", "clean", "--backup", "latest-verified"];
/// As where a model has to be indexed yet.
const UNINDEXED: &str = "
INSERT INTO embedding_models (name, dimensions, state) VALUES ('small', 3, 'filling');
UPDATE agentfs_meta.restores SET models = (SELECT array_agg(id) FROM embedding_models) WHERE phase = 'switched'";
const INDEXED: &str = "
SELECT count(*) FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am a ON a.oid = c.relam
 WHERE a.amname = 'hnsw' AND x.indisvalid AND c.relnamespace = 'public'::regnamespace";

impl Site {
    /// A verified backup in which `/notes/lunch` is peanuts, and crackers in the memory.
    async fn proven() -> (Api, Database, Self) {
        let (api, database) = Api::start().await;
        let site = Self::of(&database);
        api.client.put("/notes/lunch", json!("peanuts")).await;
        site.verified_backup();
        api.client.put("/notes/lunch", json!("crackers")).await;
        (api, database, site)
    }

    /// Restores once the sessions of a killed run have ended, and its second is over.
    async fn fill(&self, how: &[&str], variables: &[(&str, &str)]) -> Said {
        let restore = async || self.clean_with(&self.database.superuser_url, how, variables);
        let passes = ["under way", "try again in a second"];
        let has_turn = |said: &Said| {
            said.code != Some(75) || !passes.iter().any(|words| said.err.contains(words))
        };
        eventually("it has the turn", restore, has_turn).await
    }

    async fn empty(&self, how: &[&str], request: Option<&str>) {
        let request = request.map(|request| ("AGENTFS_REQUEST", request));
        let variables: Vec<_> =
            request.into_iter().chain([("AGENTFS_FAULT_POINT", "emptied")]).collect();
        let killed = self.fill(how, &variables).await;
        assert_eq!(killed.code, None, "{killed:?}");
    }

    /// Ids of backups, in the order in which they were made.
    fn backups(&self) -> Vec<String> {
        let arguments = [&["backups"][..], &self.location()[..2]].concat();
        let listed = Self::run(&self.database.superuser_url, &arguments, &[]).json();
        let ids = listed["backups"].as_array().unwrap().iter();
        let mut ids: Vec<_> = ids.map(|backup| backup["id"].as_str().unwrap().to_owned()).collect();
        ids.sort_unstable();
        ids
    }
}

async fn lunch(api: &Api) -> Value {
    api.until_served().await;
    api.client.get("/notes/lunch").await["value"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_asked_for_by_another_resource_fills_them() {
    let (api, database, site) = Site::proven().await;
    let by = |uid: &str| format!("AgentFSRestore/agents/monday/0f3a/{uid}");
    site.empty(&PROVEN, Some(&by("a"))).await;
    let restored = site.fill(&PROVEN, &[("AGENTFS_REQUEST", &by("b"))]).await.json();
    assert_eq!((&restored["had_switched"], lost(&restored)), (&json!(false), 1), "{restored}");
    assert_eq!((lunch(&api).await, database.number(UNFINISHED).await), (json!("peanuts"), 0));
    let left = NamedTempFile::new().unwrap();
    let third = by("c");
    let third = [
        ("AGENTFS_REQUEST", third.as_str()),
        ("AGENTFS_TERMINATION_LOG", left.path().to_str().unwrap()),
    ];
    site.fill(&PROVEN, &third).await.text();
    let left = std::fs::read_to_string(left.path()).unwrap();
    assert!(AlreadyDone::read(&left).is_some_and(|done| done.succeeded), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_no_end_while_they_are_empty() {
    let (api, database, site) = Site::proven().await;
    let request = [("AGENTFS_REQUEST", "AgentFSRestore/agents/monday/0f3a/a")];
    site.empty(&PROVEN, Some(request[0].1)).await;
    let mut other = database.connect().await;
    other.execute("BEGIN; LOCK TABLE entries IN ACCESS SHARE MODE").await.unwrap();
    // On the way to the tables, and while they are waited for.
    for deadline in ["1ms", "3s"] {
        let late = [&PROVEN[..], &["--deadline", deadline]].concat();
        let said = site.fill(&late, &request).await;
        assert!(said.code == Some(75) && said.err.contains("--deadline"), "{said:?}");
        assert!(said.err.contains("the live tables are empty"), "{said:?}");
        assert_eq!(database.number(BEGUN).await, 1);
    }
    other.close().await.unwrap();
    site.fill(&PROVEN, &request).await.json();
    assert_eq!((lunch(&api).await, database.number(BEGUN).await), (json!("peanuts"), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_backup_fills_them_without_a_proof_and_tells_what_it_knows_of_the_lost() {
    let (api, database, site) = Site::proven().await;
    let first = site.backups();
    site.empty(&PROVEN, None).await;
    // That of what was live was made by the run that was killed.
    let newest = site.backups().pop().unwrap();
    assert_ne!(Some(&newest), first.last());
    let by_safety = ["--strategy", "clean", "--backup", newest.as_str()];
    let restored = site.fill(&by_safety, &[]).await.json();
    assert_eq!((&restored["backup"], lost(&restored)), (&json!(newest), 0), "{restored}");
    assert_eq!((lunch(&api).await, database.number(UNFINISHED).await), (json!("crackers"), 0));

    // What was written since the other one is lost, and nobody knows how much of what is counted that is.
    api.client.put("/notes/lunch", json!("toast")).await;
    let forced = [&PROVEN[..], &["--force"]].concat();
    site.empty(&forced, None).await;
    let restored = site.fill(&by_safety, &[]).await.json();
    assert_eq!(lost(&restored), 2, "{restored}");
    let notes = restored["notes"].to_string();
    assert!(notes.contains(&first[0]) && notes.contains("is counted"), "{restored}");
    assert_eq!(lunch(&api).await, json!("crackers"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_filled_is_indexed_by_the_next_command_and_told_by_the_request() {
    let (api, database, site) = Site::proven().await;
    let request = ("AGENTFS_REQUEST", "AgentFSRestore/agents/monday/0f3a/a");
    let killed = site.fill(&PROVEN, &[request, ("AGENTFS_FAULT_POINT", "switched")]).await;
    assert_eq!((killed.code, lunch(&api).await), (None, json!("peanuts")), "{killed:?}");
    database.execute(UNINDEXED).await;
    assert_eq!((database.number(UNFINISHED).await, database.number(INDEXED).await), (1, 0));
    let arguments = [&["backup"][..], &site.location()].concat();
    let backing_up = async || Site::run(&database.superuser_url, &arguments, &[]);
    eventually("it has the turn", backing_up, |said| said.code == Some(0)).await;
    assert_eq!((database.number(UNFINISHED).await, database.number(INDEXED).await), (0, 2));

    api.client.put("/notes/lunch", json!("toast")).await;
    let ended = site.fill(&PROVEN, &[request]).await.json();
    assert_eq!((&ended["had_switched"], lost(&ended)), (&json!(true), 1), "{ended}");
    assert_eq!((&ended["notes"], lunch(&api).await), (&json!([]), json!("toast")), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_go_on_behind_those_of_the_backup_where_none_was_given_before() {
    let (_api, database) = Api::start().await;
    let site = Site::of(&database);
    let model =
        "INSERT INTO embedding_models (name, dimensions, state) VALUES ('first', 3, 'filling')";
    database.execute(model).await;
    site.verified_backup();
    // As in a new database.
    database
        .execute("DELETE FROM embedding_models; ALTER TABLE embedding_models ALTER id RESTART")
        .await;
    site.fill(&PROVEN, &[]).await.json();
    assert_eq!(database.number("SELECT max(id)::bigint FROM embedding_models").await, 1);
    let next =
        "INSERT INTO embedding_models (name, dimensions, state) VALUES ('second', 3, 'filling')";
    database.execute(next).await;
}
