//! Finds the entries that have a name of the query, whatever they mean: models blur numbers and codes.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Search;
use super::conditions::filtered;
use crate::store::StoreError;

/// A name that more entries have tells nothing.
const MOST: usize = 100;

/// The longest that a name is looked for. The index of words knows all agents of all tenants, among which a name may be very
/// common; then meaning alone must do.
const WITHIN: Duration = Duration::from_millis(250);

/// Without the limit inside, which would have the planner walk the range in the hope of meeting enough soon.
const NAMED: &str = concat!(
    "
WITH named AS MATERIALIZED (
    SELECT d.version_id
      FROM search_documents d
     WHERE ",
    is_in_range!("d"),
    "
       AND d.document @@ ",
    name!("$5"),
    "
       AND ",
    has_tag!("d"),
    ")
SELECT version_id FROM named LIMIT $6"
);

/// The versions of entries that have a name of `search`; of each name none where it is too common. They may not be the latest.
pub(super) async fn versions(
    moment: &mut PgConnection,
    search: &Search<'_>,
) -> Result<Vec<Uuid>, StoreError> {
    let mut all = Vec::new();
    if search.names.is_empty() {
        return Ok(all);
    }
    // Rolled back in any case: that ends a statement that was cancelled, and brings the former timeout back.
    let mut attempt = moment.begin().await?;
    let timeout = sqlx::query("SELECT set_config('statement_timeout', $1, true)");
    timeout.bind(WITHIN.as_millis().to_string()).execute(&mut *attempt).await?;
    for name in search.names {
        let found = sqlx::query_scalar(filtered(NAMED, search))
            .bind(search.tenant.0)
            .bind(search.agent.as_str())
            .bind(search.prefix.as_str())
            .bind(search.tags_any)
            .bind(&name.words)
            .bind((MOST + 1) as i64)
            .fetch_all(&mut *attempt)
            .await
            .map_err(StoreError::from);
        match found {
            Ok(found) if found.len() <= MOST => all.extend::<Vec<Uuid>>(found),
            Ok(_) => {}
            Err(StoreError::TimedOut(_)) => break,
            Err(error) => return Err(error),
        }
    }
    attempt.rollback().await?;
    Ok(all)
}
