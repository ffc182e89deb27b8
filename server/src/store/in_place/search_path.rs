//! Which schemas names are looked up in, and so which ones PostgreSQL leaves out when it writes a definition.

use sqlx::postgres::PgConnection;

const SET: &str = "
SELECT set_config('search_path', coalesce(string_agg(quote_ident(name), ', ' ORDER BY position), ''), true)
  FROM unnest($1::text[]) WITH ORDINALITY AS schemas(name, position)";

/// Has names looked up in `schemas` alone, until the transaction ends. Beside them, PostgreSQL always knows its own.
pub(super) async fn set(
    connection: &mut PgConnection,
    schemas: &[&str],
) -> Result<(), sqlx::Error> {
    sqlx::query(SET).bind(schemas).execute(connection).await?;
    Ok(())
}

/// What it is now, for [`restore`].
pub(super) async fn get(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("SELECT current_setting('search_path')").fetch_one(connection).await
}

/// Sets what [`get`] returned, until the transaction ends.
pub(super) async fn restore(connection: &mut PgConnection, path: &str) -> Result<(), sqlx::Error> {
    let set = "SELECT set_config('search_path', $1, true)";
    sqlx::query(set).bind(path).execute(connection).await?;
    Ok(())
}
