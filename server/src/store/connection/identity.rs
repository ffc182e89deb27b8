//! Identifies a database, whatever server answers for it.

/// SQL of an expression: PostgreSQL's system identifier, which replicas share with their primary, and the database's name.
macro_rules! instance {
    () => {
        "(SELECT system_identifier FROM pg_control_system()) || '/' || current_database()"
    };
}

/// SQL of an expression: the server's position in the write-ahead log, written or, on a replica, replayed.
macro_rules! lsn {
    () => {
        "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
    };
}
