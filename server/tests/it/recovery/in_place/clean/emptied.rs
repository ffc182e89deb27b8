//! What becomes of live tables that are empty, since the run that was to fill them has ended.

use crate::recovery::in_place::site::Site;
use crate::support::api::Api;
use crate::support::cli::Said;
use crate::support::eventually::eventually;

const PROVEN: [&str; 4] = ["--strategy", "clean", "--backup", "latest-verified"];

impl Site {
    /// Restores once the sessions of a killed run have ended, and its second is over.
    async fn fill(&self, how: &[&str], variables: &[(&str, &str)]) -> Said {
        let restore = async || self.clean_with(&self.database.superuser_url, how, variables);
        let passes = ["under way", "try again in a second"];
        let has_turn = |said: &Said| {
            said.code != Some(75) || !passes.iter().any(|words| said.err.contains(words))
        };
        eventually("it has the turn", restore, has_turn).await
    }
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
