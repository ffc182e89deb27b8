//! Sessions that hold something for as long as it takes, such as a snapshot or locks.

use sqlx::Executor as _;
use sqlx::postgres::PgConnection;

/// Timeouts, turned off. Not all versions of PostgreSQL know all of them. Rows that a policy hides are an error rather than missing.
const PATIENT: &str = "
SELECT set_config(name, '0', false) FROM pg_settings
 WHERE name IN ('lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout',
                'idle_session_timeout');
SET row_security = off";

/// The session ends soon after a program that was killed in the middle of a statement. PostgreSQL on Windows refuses it.
const NOTICE_OUR_END: &str = "SET client_connection_check_interval = '1s'";

/// A statement of the session takes one processor.
const ONE_PROCESS: &str = "SET max_parallel_workers_per_gather = 0";

/// Leaves the other processors to agents, who ask meanwhile.
pub(in crate::store) async fn leave_processors(
    connection: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    connection.execute(ONE_PROCESS).await.map(drop)
}

/// Sets a session up so that nothing ends it but its program.
pub(in crate::store) async fn set_up(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.execute(PATIENT).await?;
    let _ = connection.execute(NOTICE_OUR_END).await;
    Ok(())
}
