//! What each connection to PostgreSQL is set to before it is used, whatever the role or the database is set to: by the server on
//! its own connections, by a connection pool on those that it shares out.

/// SQL for every connection. A commit that was answered is on disk; stronger settings are left as they are. The types of
/// pgvector are found in whatever schema the extension lies.
macro_rules! every_connection {
    () => {
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; \
         SELECT set_config('search_path', current_setting('search_path') || ', ' || extnamespace::regnamespace, false) \
         FROM pg_extension WHERE extname = 'vector' AND to_regtype('halfvec') IS NULL AND current_schema() IS NOT NULL"
    };
}

/// SQL for connections that work for as long as it takes, such as a migration's.
pub const PATIENT: &str = concat!(
    "SET statement_timeout = 0; SET default_transaction_isolation = 'read committed'; ",
    every_connection!()
);

/// SQL for connections that serve requests and wait for a lock for so long at most. No statement is waited for long either, and JIT
/// compilation never pays off, though cost estimates of row-by-row statements are high.
macro_rules! serving {
    ($lock_timeout:literal) => {
        concat!(
            "SET lock_timeout = '",
            $lock_timeout,
            "'; SET statement_timeout = '15s'; SET jit = off; \
             SET default_transaction_isolation = 'read committed'; ",
            every_connection!()
        )
    };
}

/// SQL for connections to the primary that serve requests.
pub const SERVING: &str = serving!("1s");

/// SQL for connections to a replica that serve reads. One that has to wait for a lock there is soon asked of the primary: a lock that is
/// replayed is kept until its transaction's end is replayed as well, which may wait for other reads.
pub const READING: &str = serving!("100ms");

/// PgBouncer sends its `connect_query` from a buffer of 512 bytes.
const _: () = assert!(SERVING.len() < 500);
