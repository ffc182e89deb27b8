//! Which local model a worker takes where the settings name none: the one that the database has embeddings of.

use std::fs;
use std::os::unix::fs::symlink;

use agentfs_server::embedding::embedders::{ChoiceError, Embedders, embedders};
use tempfile::TempDir;

use crate::support::api::Api;
use crate::support::database::Database;
use crate::support::model::{DEFAULT, FAST, folder_of, models};
use crate::support::semantic::{put, until_semantic};
use crate::support::worker::{Worker, settings_of, until};

const NEVER_BUILT_IN: &str = "bge-small-en-v1.5";

/// A folder of the default model and the fast one. Only that can be read: the other has no content.
fn image() -> TempDir {
    let image = tempfile::tempdir().unwrap();
    fs::create_dir(image.path().join(DEFAULT)).unwrap();
    fs::write(image.path().join(DEFAULT).join("model.safetensors"), "").unwrap();
    symlink(folder_of(FAST), image.path().join(FAST)).unwrap();
    image
}

fn set(image: &TempDir, more: &[(&str, &str)]) -> Embedders {
    let folder = [("EMBEDDING_MODEL_DIR", image.path().to_str().unwrap())];
    embedders(&settings_of([&folder[..], more].concat())).unwrap()
}

async fn chosen(embedders: &Embedders, database: &Database) -> Result<Vec<String>, ChoiceError> {
    let chosen = embedders.of_worker(&database.address().pool(1)).await?;
    Ok(chosen.iter().map(|embedder| embedder.model().name.clone()).collect())
}

#[tokio::test]
async fn a_new_database_gets_the_model_that_finds_most() {
    let (image, database) = (image(), Database::migrated().await);
    // As a restore has it until all rows are there: that the table is empty tells nothing.
    database
        .execute("ALTER TABLE embedding_models DROP CONSTRAINT embedding_models_name_key")
        .await;
    let refused = chosen(&set(&image, &[]), &database).await;
    assert!(matches!(refused, Err(ChoiceError::Store(_))), "{refused:?}");
    database.execute("ALTER TABLE embedding_models ADD UNIQUE (name)").await;

    for _ in 0..2 {
        assert_eq!(chosen(&set(&image, &[]), &database).await.unwrap(), [DEFAULT]);
    }
    let registered = "SELECT count(*) FROM embedding_models
                       WHERE name = 'all-mpnet-base-v2' AND dimensions = 768 AND state = 'filling'";
    assert_eq!(database.number(registered).await, 1);
}

#[tokio::test]
async fn a_database_keeps_its_model() {
    let (image, database) = (image(), Database::migrated().await);
    let open = set(&image, &[]);
    // What an endpoint has made says nothing of local models.
    database
        .execute("INSERT INTO embedding_models (name, dimensions, state) VALUES ('endpoint', 3, 'serving')")
        .await;
    database
        .execute("INSERT INTO embedding_models (name, dimensions, state) VALUES ('all-MiniLM-L6-v2', 384, 'filling')")
        .await;
    assert_eq!(chosen(&open, &database).await.unwrap(), [FAST]);
    database.execute("DELETE FROM embedding_models WHERE name = 'endpoint'").await;
    database.execute("UPDATE embedding_models SET state = 'serving'").await;
    // Left over from a change that nobody goes on with.
    database
        .execute("INSERT INTO embedding_models (name, dimensions, state) VALUES ('all-mpnet-base-v2', 768, 'filling')")
        .await;
    assert_eq!(chosen(&open, &database).await.unwrap(), [FAST]);
    let queries = open.of_queries();
    let queries: Vec<&str> = queries.iter().map(|of| of.model().name.as_str()).collect();
    assert_eq!(queries, [DEFAULT, FAST], "each is embedded with the model that serves");

    database.execute("UPDATE embedding_models SET state = 'retired'").await;
    assert_eq!(chosen(&open, &database).await.unwrap(), [DEFAULT]);
    let again = database.number("SELECT count(*) FROM embedding_models WHERE state <> 'retired'");
    assert_eq!(again.await, 0, "registering it again is the worker's");
}

#[tokio::test]
async fn what_is_set_is_taken_and_the_next_model_filled_beside_the_one_that_serves() {
    let (image, database) = (image(), Database::migrated().await);
    database
        .execute("INSERT INTO embedding_models (name, dimensions, state) VALUES ('all-mpnet-base-v2', 768, 'serving')")
        .await;
    let fast = set(&image, &[("EMBEDDING_MODEL", FAST)]);
    assert_eq!(chosen(&fast, &database).await.unwrap(), [FAST]);
    let next = set(&image, &[("NEXT_EMBEDDING_MODEL", FAST)]);
    assert_eq!(chosen(&next, &database).await.unwrap(), [DEFAULT, FAST]);
    database
        .execute("INSERT INTO embedding_models (name, dimensions, state) VALUES ('all-MiniLM-L6-v2', 384, 'filling')")
        .await;
    assert_eq!(chosen(&next, &database).await.unwrap(), [DEFAULT, FAST]);
    // As `admin embeddings switch` does.
    database.execute("UPDATE embedding_models SET state = 'retired' WHERE state = 'serving'").await;
    database.execute("UPDATE embedding_models SET state = 'serving' WHERE state = 'filling'").await;
    assert_eq!(chosen(&next, &database).await.unwrap(), [FAST]);
    assert_eq!(chosen(&set(&image, &[]), &database).await.unwrap(), [FAST]);
}

#[tokio::test]
async fn a_model_that_is_not_there_is_named_and_nothing_is_embedded_anew() {
    let (image, database) = (image(), Database::migrated().await);
    database
        .execute("INSERT INTO embedding_models (name, dimensions, state) VALUES ('bge-small-en-v1.5', 384, 'serving')")
        .await;
    let missing = chosen(&set(&image, &[]), &database).await.unwrap_err().to_string();
    assert!(missing.contains("has embeddings of bge-small-en-v1.5, which is not in"), "{missing}");
    assert_eq!(database.number("SELECT count(*) FROM embedding_models").await, 1);

    let folder = ("EMBEDDING_MODEL_DIR", image.path().to_str().unwrap());
    let refused = |model| embedders(&settings_of(vec![folder, ("EMBEDDING_MODEL", model)]));
    let said = refused(NEVER_BUILT_IN).unwrap_err().to_string();
    assert!(said.contains("it has all-mpnet-base-v2, all-MiniLM-L6-v2;"), "{said}");
    let one = folder_of(FAST);
    let folder = ("EMBEDDING_MODEL_DIR", one.to_str().unwrap());
    let said = embedders(&settings_of(vec![folder, ("EMBEDDING_MODEL", DEFAULT)]));
    assert!(said.unwrap_err().to_string().contains("it has all-MiniLM-L6-v2;"));
}

/// As after a restore of a backup whose embeddings are of another model.
#[tokio::test(flavor = "multi_thread")]
async fn worker_and_searches_follow_the_database_to_another_model() {
    let database = Database::migrated().await;
    database
        .execute("INSERT INTO embedding_models (name, dimensions, state) VALUES ('all-MiniLM-L6-v2', 384, 'serving')")
        .await;
    let models = models();
    let folder = models.to_str().unwrap();
    let api = Api::start_with(&database, &[], &[("EMBEDDING_MODEL_DIR", folder)]).await;
    put(&api.client, "/a", "Ada is allergic to peanuts").await;
    let worker = Worker::local(&database, folder);
    until(&database, OF_FAST, 1).await;
    until_semantic(&api.client, "food she must not eat").await;

    database
        .execute(
            "DELETE FROM embedding_models;
             INSERT INTO embedding_models (name, dimensions, state) VALUES ('all-mpnet-base-v2', 768, 'serving')",
        )
        .await;
    until(&database, OF_DEFAULT, 1).await;
    until_semantic(&api.client, "food she must not eat").await;
    worker.stop().await;
    assert_eq!(database.number("SELECT count(*) FROM embedding_models").await, 1);
}

const OF_FAST: &str =
    "SELECT count(*) FROM embeddings e JOIN embedding_models m ON m.id = e.model_id
                        WHERE m.name = 'all-MiniLM-L6-v2'";
const OF_DEFAULT: &str =
    "SELECT count(*) FROM embeddings e JOIN embedding_models m ON m.id = e.model_id
                           WHERE m.name = 'all-mpnet-base-v2'";
