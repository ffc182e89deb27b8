//! SQL conditions that all searches share: live, in range, tagged.

/// The head of `$row`, looked up by its key alone, with the condition that the version of `$row` is the live one.
macro_rules! is_live {
    ($row:literal) => {
        concat!(
            "
     CROSS JOIN LATERAL (
           SELECT e.latest_version_id, e.deleted_at, e.expires_at
             FROM entries e
            WHERE e.tenant_id = ",
            $row,
            ".tenant_id AND e.agent_id = ",
            $row,
            ".agent_id AND e.path = ",
            $row,
            ".path
            LIMIT 1) e
     WHERE e.latest_version_id = ",
            $row,
            ".version_id AND ",
            live!("e"),
            ""
        )
    };
}

/// `$row` is of the tenant `$1` and the agent `$2`, at or below the prefix `$3`.
macro_rules! is_in_range {
    ($row:literal) => {
        concat!(
            $row,
            ".tenant_id = $1 AND ",
            $row,
            ".agent_id = $2 AND ",
            $row,
            ".path >= $3 AND ",
            $row,
            ".path < $3 || '0'
       AND (",
            $row,
            ".path = $3 OR starts_with(",
            $row,
            ".path, $3 || '/'))"
        )
    };
}

/// The version of `$row` has one of the tags `$4`, if there are any.
macro_rules! has_tag {
    ($row:literal) => {
        concat!(
            "(cardinality($4::text[]) = 0
            OR (SELECT v.tags && $4 FROM entry_versions v WHERE v.tenant_id = ",
            $row,
            ".tenant_id AND v.id = ",
            $row,
            ".version_id LIMIT 1))"
        )
    };
}
