//! What columns are, and the sequences of those that count.

/// Types, which have to be those of our migrations: their rows were loaded already.
pub(super) const TYPES: &str = concat!(
    pairs!(),
    "
SELECT NULL AS statement, NULL AS role, format('the column %I of %s', l.attname, t.name) AS what,
       CASE WHEN s.attname IS NULL
            THEN 'our migrations do not make it, so no backup of it can be relied on: copy what is in it elsewhere, drop it, then run this again'
            ELSE format('it is of the type %s, and our migrations make it %s: make it so again (ALTER TABLE ... ALTER COLUMN ... TYPE), then run this again',
                        format_type(l.atttypid, l.atttypmod), format_type(s.atttypid, s.atttypmod)) END AS advice
  FROM tables t
  JOIN pg_attribute l ON l.attrelid = t.live AND l.attnum > 0 AND NOT l.attisdropped
  LEFT JOIN pg_attribute s ON s.attrelid = t.staged AND s.attname = l.attname AND NOT s.attisdropped
 WHERE s.attname IS NULL
    OR (l.atttypid, l.atttypmod, l.attcollation, l.attgenerated) IS DISTINCT FROM (s.atttypid, s.atttypmod, s.attcollation, s.attgenerated)
UNION ALL
SELECT NULL, NULL, format('the table %I', c.relname), format('it is missing in the schema %I: run this again', $2)
  FROM pg_class c
 WHERE c.relnamespace = to_regnamespace(quote_ident($1)) AND c.relname = ANY ($3) AND c.oid NOT IN (SELECT live FROM tables)
   AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
 ORDER BY what"
);

/// Default values.
pub(super) const DEFAULTS: &str = concat!(
    pairs_of_columns!(),
    ", defaults AS (
    SELECT c.*, pg_get_expr(ld.adbin, ld.adrelid) AS now, pg_get_expr(sd.adbin, sd.adrelid) AS was
      FROM columns c
      LEFT JOIN pg_attrdef ld ON ld.adrelid = c.live AND ld.adnum = c.live_column
      LEFT JOIN pg_attrdef sd ON sd.adrelid = c.staged AND sd.adnum = c.staged_column
     WHERE c.kind = 'TABLE' AND (c.l).attgenerated = '' AND (c.s).attgenerated = ''
), statements AS (
    SELECT *, format('ALTER COLUMN %I %s', field, coalesce('SET DEFAULT ' || now, 'DROP DEFAULT')) AS alter
      FROM defaults WHERE now IS DISTINCT FROM was
)
SELECT format('ALTER TABLE %s %s', target, alter) AS statement, NULL AS role, 'the default of ' || what AS what,
       format('run ALTER TABLE %I.%s %s once it is restored', $1, name, alter) AS advice
  FROM statements"
);

/// Whether there may be nulls.
pub(super) const NOT_NULL: &str = concat!(
    pairs_of_columns!(),
    ", statements AS (
    SELECT *, format('ALTER COLUMN %I %s NOT NULL', field, CASE WHEN (l).attnotnull THEN 'SET' ELSE 'DROP' END) AS alter
      FROM columns WHERE kind = 'TABLE' AND (l).attnotnull <> (s).attnotnull
)
SELECT format('ALTER TABLE %s %s', target, alter) AS statement, NULL AS role, 'whether nulls may be in ' || what AS what,
       format('run ALTER TABLE %I.%s %s once it is restored', $1, name, alter) AS advice
  FROM statements"
);

/// Whether a statement may give a column that counts a value of its own.
pub(super) const IDENTITY: &str = concat!(
    pairs_of_columns!(),
    ", statements AS (
    SELECT *, format('ALTER COLUMN %I SET GENERATED %s', field,
                     CASE (l).attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END) AS alter
      FROM columns
     WHERE kind = 'TABLE' AND (l).attidentity <> (s).attidentity AND (l).attidentity <> '' AND (s).attidentity <> ''
)
SELECT format('ALTER TABLE %s %s', target, alter) AS statement, NULL AS role, 'the identity of ' || what AS what,
       format('run ALTER TABLE %I.%s %s once it is restored', $1, name, alter) AS advice
  FROM statements"
);

/// How sequences count. Where they stand is the switch's concern.
pub(super) const SEQUENCES: &str = concat!(
    pairs!(),
    ", statements AS (
    SELECT r.*, (SELECT relname FROM pg_class WHERE oid = r.live) AS sequence,
           format('INCREMENT %s MINVALUE %s MAXVALUE %s START %s CACHE %s %s', l.seqincrement, l.seqmin, l.seqmax, l.seqstart,
                  l.seqcache, CASE WHEN l.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END) AS alter
      FROM relations r JOIN pg_sequence l ON l.seqrelid = r.live JOIN pg_sequence s ON s.seqrelid = r.staged
     WHERE (l.seqincrement, l.seqmin, l.seqmax, l.seqstart, l.seqcache, l.seqcycle)
        <> (s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache, s.seqcycle)
)
SELECT format('ALTER SEQUENCE %s %s', target, alter) AS statement, NULL AS role, 'the parameters of ' || what AS what,
       format('run ALTER SEQUENCE %I.%I %s once it is restored', $1, sequence, alter) AS advice
  FROM statements"
);
