//! Comments and security labels.

/// SQL of what may have a comment, to follow [`pairs_of_columns`]: its catalogue, the live and the new one, and its name in statements
/// (`target`) and for people.
macro_rules! describable {
    () => {
        ", describable AS (
    SELECT 'pg_class'::regclass AS class, live, 0 AS live_column, staged, 0 AS staged_column, kind || ' ' || target AS target, what FROM relations
    UNION ALL
    SELECT 'pg_class'::regclass, live, live_column, staged, staged_column, format('COLUMN %s.%I', target, field), what
      FROM columns WHERE kind = 'TABLE'
    UNION ALL
    SELECT 'pg_constraint'::regclass, l.oid, 0, s.oid, 0, format('CONSTRAINT %I ON %s', s.conname, target), format('the constraint %I of %s', s.conname, name)
      FROM tables JOIN pg_constraint l ON l.conrelid = live JOIN pg_constraint s ON s.conrelid = staged AND s.conname = l.conname
    UNION ALL
    SELECT 'pg_policy'::regclass, l.oid, 0, s.oid, 0, format('POLICY %I ON %s', s.polname, target), format('the policy %I of %s', s.polname, name)
      FROM tables JOIN pg_policy l ON l.polrelid = live JOIN pg_policy s ON s.polrelid = staged AND s.polname = l.polname
    UNION ALL
    SELECT 'pg_statistic_ext'::regclass, l.oid, 0, s.oid, 0, format('STATISTICS %I.%I', $2, s.stxname), format('the statistics %I of %s', s.stxname, name)
      FROM tables JOIN pg_statistic_ext l ON l.stxrelid = live
      JOIN pg_statistic_ext s ON s.stxrelid = staged AND s.stxname = l.stxname AND s.stxnamespace = to_regnamespace(quote_ident($2))
)"
    };
}

/// Comments.
pub(super) const COMMENTS: &str = concat!(
    pairs_of_columns!(),
    describable!(),
    "
SELECT format('COMMENT ON %s IS %s', target, coalesce(quote_literal(l.description), 'NULL')) AS statement, NULL AS role,
       'the comment on ' || what AS what, 'write it anew once it is restored' AS advice
  FROM describable d
  LEFT JOIN pg_description l ON (l.classoid, l.objoid, l.objsubid) = (d.class, d.live, d.live_column)
  LEFT JOIN pg_description s ON (s.classoid, s.objoid, s.objsubid) = (d.class, d.staged, d.staged_column)
 WHERE l.description IS DISTINCT FROM s.description
 ORDER BY target"
);

/// Security labels, which other programs in the server go by, such as to hide values.
pub(super) const SECURITY_LABELS: &str = concat!(
    pairs_of_columns!(),
    describable!(),
    ", labels AS (
    SELECT d.target, d.what, l.provider, l.label
      FROM describable d JOIN pg_seclabel l ON (l.classoid, l.objoid, l.objsubid) = (d.class, d.live, d.live_column)
), there AS (
    SELECT d.target, d.what, l.provider, l.label
      FROM describable d JOIN pg_seclabel l ON (l.classoid, l.objoid, l.objsubid) = (d.class, d.staged, d.staged_column)
)
SELECT format('SECURITY LABEL FOR %I ON %s IS %s', provider, target, coalesce(quote_literal(w.label), 'NULL')) AS statement, NULL AS role,
       format('the security label of %I on %s', provider, what) AS what,
       format('have a superuser load %I in the server (shared_preload_libraries), or take the label off the live table, then run this again', provider) AS advice
  FROM labels w FULL JOIN there t USING (target, what, provider)
 WHERE w.label IS DISTINCT FROM t.label
 ORDER BY target"
);
