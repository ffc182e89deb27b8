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

/// SQL of an expression: the timeline, which each recovery to a point in time and each failover begins anew. It stands in the name
/// of the file that the server writes now; a standby knows it from its last checkpoint.
macro_rules! timeline {
    () => {
        "CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
              ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END"
    };
}

/// SQL of the columns of `Identity`.
macro_rules! identity {
    () => {
        concat!(
            "(SELECT system_identifier::text FROM pg_control_system()) AS system, current_database()::text AS database, ",
            timeline!(),
            " AS timeline"
        )
    };
}
