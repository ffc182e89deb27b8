//! Which of the new relations is the likeness of which live one.

/// SQL of common table expressions, to be continued: `tables`, those of the names `$3` in the schema `$1` (`live`) with those in `$2`
/// (`staged`); and `relations`, these with their indexes and the sequences of their columns. `name` is the table's, quoted.
macro_rules! pairs {
    () => {
        "
WITH tables AS (
    SELECT l.oid AS live, s.oid AS staged, quote_ident(l.relname) AS name, format('%I.%I', $2, s.relname) AS target,
           format('%I.%I', $1, l.relname) AS source
      FROM pg_class l JOIN pg_class s ON s.relname = l.relname AND s.relkind = l.relkind
     WHERE l.relnamespace = to_regnamespace(quote_ident($1::text)) AND l.relkind = 'r' AND l.relname = ANY ($3::text[])
       AND s.relnamespace = to_regnamespace(quote_ident($2::text))
), owned AS (
    SELECT d.objid AS sequence, d.refobjid AS of, a.attname
      FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
      JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
), relations AS (
    SELECT 'TABLE' AS kind, live, staged, name, target, 'the table ' || name AS what FROM tables
    UNION ALL
    SELECT 'INDEX', l.oid, s.oid, t.name, format('%I.%I', $2, s.relname), format('the index %I of %s', l.relname, t.name)
      FROM tables t
      JOIN pg_index li ON li.indrelid = t.live JOIN pg_class l ON l.oid = li.indexrelid
      JOIN pg_index si ON si.indrelid = t.staged JOIN pg_class s ON s.oid = si.indexrelid AND s.relname = l.relname
    UNION ALL
    SELECT 'SEQUENCE', l.oid, s.oid, t.name, format('%I.%I', $2, s.relname), format('the sequence %I of %s', l.relname, t.name)
      FROM tables t
      JOIN owned lo ON lo.of = t.live JOIN pg_class l ON l.oid = lo.sequence
      JOIN owned so ON so.of = t.staged AND so.attname = lo.attname JOIN pg_class s ON s.oid = so.sequence
)"
    };
}

/// As [`pairs`], and `columns`: those of the tables and indexes (`l`, `s`: their rows of pg_attribute).
macro_rules! pairs_of_columns {
    () => {
        concat!(
            pairs!(),
            ", columns AS (
    SELECT r.kind, r.live, r.staged, r.name, r.target, l.attnum AS live_column, s.attnum AS staged_column, l.attname AS field,
           format('the column %I of %s', l.attname, r.name) AS what, l, s
      FROM relations r
      JOIN pg_attribute l ON l.attrelid = r.live AND l.attnum > 0 AND NOT l.attisdropped
      JOIN pg_attribute s ON s.attrelid = r.staged AND s.attname = l.attname
     WHERE r.kind <> 'SEQUENCE'
)"
        )
    };
}
