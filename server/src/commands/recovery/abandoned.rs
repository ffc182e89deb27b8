//! What a restore that a resource asked for has left after its switch: a command brings it to its end once its own work is told.

use agentfs_contract::setting::DATABASE_URL;

use super::{ended, setting};
use crate::recovery::restore::in_place;
use crate::settings::DatabaseSettings;

/// Does that for the database of the environment, where there is one. A signal ends it, and the next command goes on.
pub(super) async fn end_abandoned() {
    let (Some(_), Ok(stop)) = (setting(DATABASE_URL), ended("indexing", None)) else { return };
    // Whoever calls it has told that the address is wrong.
    if let Ok(url) = DatabaseSettings::url_from_env() {
        Box::pin(in_place::end_abandoned(&url, stop)).await;
    }
}
