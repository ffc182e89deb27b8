//! Constraints, indexes and extended statistics that somebody added.

/// Constraints. One that refers to a table that stays, or to another program's, would lock that one, which others use: it is for people.
pub(super) const CONSTRAINTS: &str = concat!(
    pairs!(),
    ", missing AS (
    SELECT t.*, c.conname, c.contype, pg_get_constraintdef(c.oid, true) AS definition,
           c.confrelid = 0 OR c.confrelid IN (SELECT live FROM tables) AS is_own
      FROM tables t JOIN pg_constraint c ON c.conrelid = t.live AND c.contype IN ('c', 'f', 'p', 'u', 'x')
     WHERE NOT EXISTS (SELECT FROM pg_constraint s WHERE s.conrelid = t.staged AND s.conname = c.conname)
)
SELECT CASE WHEN is_own THEN format('ALTER TABLE %s ADD CONSTRAINT %I %s', target, conname, definition) END AS statement, NULL AS role,
       format('the constraint %I of %s', conname, name) AS what,
       format('run ALTER TABLE %s ADD CONSTRAINT %I %s once it is restored', source, conname, definition) AS advice
  FROM missing
 ORDER BY contype = 'f', name, conname"
);

/// Indexes. Those of vectors take far too long here; the ones that models have (`embeddings::index`) are built after the switch.
pub(super) const INDEXES: &str = concat!(
    pairs!(),
    ", missing AS (
    SELECT t.name, c.relname, am.amname, pg_get_indexdef(c.oid, 0, true) AS definition, pg_get_indexdef(c.oid) AS full_definition
      FROM tables t
      JOIN pg_index i ON i.indrelid = t.live AND i.indisvalid
      JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
     WHERE c.oid NOT IN (SELECT live FROM relations)
       AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = c.oid AND o.contype IN ('p', 'u', 'x'))
       AND c.relname !~ '^embedding(s|_chunks)_hnsw_[0-9]+$'
)
SELECT CASE WHEN amname NOT IN ('hnsw', 'ivfflat') THEN definition END AS statement, NULL AS role,
       format('the index %I of %s', relname, name) AS what, format('run %s once it is restored', full_definition) AS advice
  FROM missing
 ORDER BY name, relname"
);

/// Extended statistics. Those in another schema cannot be there twice.
pub(super) const STATISTICS: &str = concat!(
    pairs!(),
    ", missing AS (
    SELECT t.name, x.stxname, n.nspname, pg_get_statisticsobjdef(x.oid) AS definition,
           format('CREATE STATISTICS %I.%I', n.nspname, x.stxname) AS beginning
      FROM tables t JOIN pg_statistic_ext x ON x.stxrelid = t.live JOIN pg_namespace n ON n.oid = x.stxnamespace
     WHERE NOT EXISTS (SELECT FROM pg_statistic_ext s WHERE s.stxrelid = t.staged AND s.stxname = x.stxname)
)
SELECT CASE WHEN nspname = $1
            THEN format('CREATE STATISTICS %I.%I%s', $2, stxname, substr(definition, length(beginning) + 1)) END AS statement,
       NULL AS role, format('the statistics %I.%I of %s', nspname, stxname, name) AS what,
       format('run ALTER STATISTICS %1$I.%2$I RENAME TO %3$I, then %4$s, once it is restored', nspname, stxname, stxname || '_previous',
              definition) AS advice
  FROM missing
 ORDER BY name, stxname"
);

/// The owner and the target of extended statistics.
pub(super) const OF_STATISTICS: &str = concat!(
    pairs!(),
    ", both_of AS (
    SELECT t.name, l.stxname, format('%I.%I', $2, s.stxname) AS target,
           l.stxowner <> s.stxowner AS has_other_owner, pg_get_userbyid(l.stxowner) AS owner,
           coalesce(l.stxstattarget, -1) <> coalesce(s.stxstattarget, -1) AS has_other_target, coalesce(l.stxstattarget, -1) AS detail
      FROM tables t JOIN pg_statistic_ext l ON l.stxrelid = t.live
      JOIN pg_statistic_ext s ON s.stxrelid = t.staged AND s.stxname = l.stxname AND s.stxnamespace = to_regnamespace(quote_ident($2))
)
SELECT format('ALTER STATISTICS %s SET STATISTICS %s', target, detail) AS statement, NULL AS role,
       format('the target of the statistics %I of %s', stxname, name) AS what,
       format('run ALTER STATISTICS %I.%I SET STATISTICS %s once it is restored', $1, stxname, detail) AS advice
  FROM both_of WHERE has_other_target
UNION ALL
SELECT format('ALTER STATISTICS %s OWNER TO %I', target, owner), NULL,
       format('the owner of the statistics %I of %s', stxname, name),
       format('run ALTER STATISTICS %I.%I OWNER TO %I once it is restored', $1, stxname, owner)
  FROM both_of WHERE has_other_owner"
);

/// Extended statistics that lie beside their table.
pub(super) const NAMES_OF_STATISTICS: &str = "
SELECT stxname::text
  FROM pg_statistic_ext JOIN pg_class c ON c.oid = stxrelid AND relnamespace = stxnamespace
 WHERE stxnamespace = to_regnamespace(quote_ident($1)) AND relname = ANY ($2)
 ORDER BY stxname";
