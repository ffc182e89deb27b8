//! What others have made that depends on our tables: views, foreign keys, triggers, rules, functions. It would stay with the previous
//! tables, and keep them from being dropped.

mod found;
mod statements;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use self::statements::DEPENDENTS;
use super::search_path;
use crate::store::StoreError;

/// Something of others that depends on one of our tables, or on something that does.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Dependent {
    /// What it is, such as `view reports.usage`.
    pub what: String,
    /// The statement that drops it.
    pub drop: String,
    /// The statements that make it anew, with its owner, rights and comments; of a few kinds a comment that says that only people can.
    pub create: String,
}

/// The few rows that are wanted come by the catalogues' indexes. Once the catalogues are analysed, the planner takes a recursive query
/// for one of very many rows, and reads them as a whole at each step.
const BY_INDEX: &str =
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

/// What depends on the tables `tables` of the schema `schema` and is not of them, in the order in which it has to be dropped: what
/// depends on a view comes before that. In the opposite order it can be made anew. Names are written with their schemas, so that the
/// statements mean the same whatever the search_path. Temporary views of other sessions are left out: they end with those.
pub async fn dependents(
    connection: &mut PgConnection,
    schema: &str,
    tables: &[&str],
) -> Result<Vec<Dependent>, StoreError> {
    let mut transaction = connection.begin().await?;
    let path = search_path::get(&mut transaction).await?;
    search_path::set(&mut transaction, &[]).await?;
    transaction.execute(BY_INDEX).await?;
    let found =
        sqlx::query_as(DEPENDENTS).bind(schema).bind(tables).fetch_all(&mut *transaction).await?;
    search_path::restore(&mut transaction, &path).await?;
    transaction.commit().await?;
    Ok(found)
}
