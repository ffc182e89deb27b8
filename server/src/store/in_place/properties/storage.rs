//! How rows are kept, and what of them the planner knows.

/// SQL of the parameters of the relations of one side, those of their TOAST tables among them.
macro_rules! parameters {
    ($side:literal) => {
        concat!(
            "SELECT r.live, r.kind, r.name, r.target, r.what, o.prefix || quote_ident(p.option_name) AS parameter, p.option_value AS value
      FROM relations r JOIN pg_class c ON c.oid = r.",
            $side,
            " LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid
     CROSS JOIN LATERAL (VALUES ('', c.reloptions), ('toast.', toast.reloptions)) AS o(prefix, options)
     CROSS JOIN LATERAL pg_options_to_table(o.options) p
     WHERE o.prefix || p.option_name <> 'autovacuum_enabled'"
        )
    };
}

/// Storage parameters, without the one that a switch sets.
pub(super) const PARAMETERS: &str = concat!(
    pairs!(),
    ", wanted AS (",
    parameters!("live"),
    "), there AS (",
    parameters!("staged"),
    "), statements AS (
    SELECT kind, target, what, live,
           CASE WHEN w.parameter IS NULL THEN format('RESET (%s)', parameter)
                ELSE format('SET (%s = %L)', parameter, w.value) END AS alter
      FROM wanted w FULL JOIN there t USING (live, kind, name, target, what, parameter)
     WHERE w.value IS DISTINCT FROM t.value
)
SELECT format('ALTER %s %s %s', kind, target, alter) AS statement, NULL AS role, 'a storage parameter of ' || what AS what,
       format('run ALTER %s %I.%I %s once it is restored', kind, $1, (SELECT relname FROM pg_class WHERE oid = live), alter) AS advice
  FROM statements
 ORDER BY statement"
);

/// SQL of the options of the columns of one side that people set; PostgreSQL of some packages keeps others there.
macro_rules! options {
    ($side:literal) => {
        concat!(
            "SELECT live, live_column, o.option_name AS name, o.option_value AS value
              FROM columns CROSS JOIN LATERAL pg_options_to_table((",
            $side,
            ").attoptions) o
             WHERE kind = 'TABLE' AND o.option_name IN ('n_distinct', 'n_distinct_inherited')"
        )
    };
}

/// How values of columns are kept, and their planner statistics.
pub(super) const COLUMNS: &str = concat!(
    pairs_of_columns!(),
    ", options AS (
    SELECT coalesce(w.live, t.live) AS live, coalesce(w.live_column, t.live_column) AS live_column,
           CASE WHEN w.name IS NULL THEN format('RESET (%I)', t.name) ELSE format('SET (%I = %L)', w.name, w.value) END AS alter
      FROM (",
    options!("l"),
    ") w
      FULL JOIN (",
    options!("s"),
    ") t
             ON (t.live, t.live_column, t.name) = (w.live, w.live_column, w.name)
     WHERE w.value IS DISTINCT FROM t.value
), alterations AS (
    SELECT live, live_column,
           'SET STORAGE ' || CASE (l).attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END AS alter
      FROM columns WHERE kind = 'TABLE' AND (l).attstorage <> (s).attstorage
    UNION ALL
    SELECT live, live_column,
           'SET COMPRESSION ' || CASE (l).attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' ELSE 'DEFAULT' END
      FROM columns WHERE kind = 'TABLE' AND (l).attcompression <> (s).attcompression
    UNION ALL
    SELECT live, live_column, 'SET STATISTICS ' || coalesce((l).attstattarget, -1)
      FROM columns WHERE coalesce((l).attstattarget, -1) <> coalesce((s).attstattarget, -1)
    UNION ALL
    SELECT live, live_column, alter FROM options
), statements AS (
    SELECT c.*, format('ALTER COLUMN %s %s', CASE c.kind WHEN 'INDEX' THEN c.live_column::text ELSE quote_ident(c.field) END, a.alter) AS alter
      FROM alterations a JOIN columns c USING (live, live_column)
)
SELECT format('ALTER %s %s %s', kind, target, alter) AS statement, NULL AS role, 'a setting of ' || what AS what,
       format('run ALTER %s %I.%I %s once it is restored', kind, $1, (SELECT relname FROM pg_class WHERE oid = live), alter) AS advice
  FROM statements
 ORDER BY statement"
);

/// Where tables and indexes lie. A table that somebody has made UNLOGGED, or another program's kind of table, is for people.
pub(super) const PLACES: &str = concat!(
    pairs!(),
    ", kept AS (
    SELECT r.*, l.relname, l.relpersistence <> s.relpersistence AS is_other_persistence, l.relpersistence, l.relam <> s.relam AS is_other_kind,
           (SELECT amname FROM pg_am WHERE oid = l.relam) AS access_method, lt.spcname, lt.oid <> st.oid AS is_elsewhere
      FROM relations r
      JOIN pg_class l ON l.oid = r.live JOIN pg_class s ON s.oid = r.staged
      JOIN pg_database d ON d.datname = current_database()
      JOIN pg_tablespace lt ON lt.oid = CASE l.reltablespace WHEN 0 THEN d.dattablespace ELSE l.reltablespace END
      JOIN pg_tablespace st ON st.oid = CASE s.reltablespace WHEN 0 THEN d.dattablespace ELSE s.reltablespace END
     WHERE r.kind <> 'SEQUENCE'
)
SELECT format('ALTER %s %s SET TABLESPACE %I', kind, target, spcname) AS statement, NULL AS role, 'the tablespace of ' || what AS what,
       format('run ALTER %s %I.%I SET TABLESPACE %I once it is restored', kind, $1, relname, spcname) AS advice
  FROM kept WHERE is_elsewhere
UNION ALL
SELECT NULL, NULL, what, format('it is %s, which the restored one will not be: run ALTER TABLE %I.%I SET %1$s once it is restored, where it has to be so',
                                CASE relpersistence WHEN 'u' THEN 'UNLOGGED' ELSE 'LOGGED' END, $1, relname)
  FROM kept WHERE is_other_persistence AND kind = 'TABLE'
UNION ALL
SELECT NULL, NULL, what, format('it is of the access method %I, which the restored one will not be: run ALTER TABLE %I.%I SET ACCESS METHOD %1$I once it is restored, where it has to be so',
                                access_method, $1, relname)
  FROM kept WHERE is_other_kind AND kind = 'TABLE'"
);

/// The index that CLUSTER goes by.
pub(super) const CLUSTER_MARK: &str = concat!(
    pairs!(),
    ", marks AS (
    SELECT t.*, (SELECT relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = t.live AND indisclustered) AS live_mark,
           (SELECT relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = t.staged AND indisclustered) AS staged_mark
      FROM tables t
), statements AS (
    SELECT *, coalesce('CLUSTER ON ' || quote_ident(live_mark), 'SET WITHOUT CLUSTER') AS alter
      FROM marks WHERE live_mark IS DISTINCT FROM staged_mark
)
SELECT format('ALTER TABLE %s %s', target, alter) AS statement, NULL AS role, 'the index that CLUSTER goes by of the table ' || name AS what,
       format('run ALTER TABLE %s %s once it is restored', source, alter) AS advice
  FROM statements"
);
