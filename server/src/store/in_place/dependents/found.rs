//! What depends on tables, by PostgreSQL's own record of it.

/// SQL of common table expressions, to be continued: `ours`, the tables of the names `$2` in the schema `$1`; and `nodes`, what depends
/// on them: its catalogue (`class`), its OID, its column where it is one, and the longest way to a table of ours (`depth`).
///
/// What is a part of our tables is left out: indexes, constraints, defaults, policies, statistics, their place in publications. The
/// rule `_RETURN` is a view; the row type of a relation is that.
macro_rules! found {
    () => {
        "
WITH RECURSIVE ours AS (
    SELECT oid FROM pg_class
     WHERE relnamespace = to_regnamespace(quote_ident($1::text)) AND relname = ANY ($2::text[]) AND relkind IN ('r', 'p')
), found AS (
    SELECT 'pg_class'::regclass::oid AS class, oid AS id, 0 AS field, 0 AS depth FROM ours
    UNION
    SELECT 'pg_class'::regclass, d.objid, 0, 0
      FROM ours JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = ours.oid AND d.deptype IN ('a', 'i')
      JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind = 'S'
    UNION
    SELECT node.class, node.id, node.field, f.depth + 1
      FROM found f
     CROSS JOIN LATERAL (
           SELECT f.class AS class, f.id AS id
           UNION ALL
           SELECT 'pg_type'::regclass, t.oid FROM pg_class c JOIN pg_type t ON t.oid = c.reltype OR t.typelem = c.reltype
            WHERE f.class = 'pg_class'::regclass AND f.field = 0 AND c.oid = f.id AND c.reltype <> 0) AS of
      JOIN pg_depend d ON d.refclassid = of.class AND d.refobjid = of.id AND (f.field = 0 OR d.refobjsubid = f.field)
      LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
      LEFT JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
      LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
      LEFT JOIN pg_attrdef v ON d.classid = 'pg_attrdef'::regclass AND v.oid = d.objid
      LEFT JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
      LEFT JOIN pg_index i ON d.classid = 'pg_class'::regclass AND i.indexrelid = d.objid
      LEFT JOIN pg_type y ON d.classid = 'pg_type'::regclass AND y.oid = d.objid
      LEFT JOIN pg_class c ON c.oid = coalesce(r.ev_class, t.tgrelid, nullif(k.conrelid, 0), v.adrelid, p.polrelid, i.indrelid,
                                               CASE WHEN d.classid = 'pg_class'::regclass THEN d.objid END)
     CROSS JOIN LATERAL (
           SELECT CASE WHEN is_view THEN 'pg_class'::regclass ELSE d.classid END AS class,
                  CASE WHEN is_view THEN c.oid ELSE d.objid END AS id,
                  CASE WHEN is_view OR d.classid <> 'pg_class'::regclass THEN 0 ELSE d.objsubid END AS field
             FROM (SELECT c.relkind IN ('v', 'm') AND (r.rulename = '_RETURN' OR d.classid = 'pg_class'::regclass AND i.indexrelid IS NULL)
                          IS TRUE AS is_view) AS kind) AS node
     WHERE f.depth < 100
       AND (node.class, node.id) <> (f.class, f.id)
       AND (c.oid IS NULL OR c.relpersistence <> 't')
       AND (c.oid IS NULL OR c.oid NOT IN (SELECT oid FROM ours) OR d.classid IN ('pg_trigger'::regclass, 'pg_rewrite'::regclass))
       AND d.classid NOT IN ('pg_statistic_ext'::regclass, 'pg_publication_rel'::regclass)
       AND (t.oid IS NULL OR NOT t.tgisinternal AND t.tgparentid = 0)
       AND (k.oid IS NULL OR k.conparentid = 0 AND k.conrelid <> 0)
       AND (i.indexrelid IS NULL OR c.relkind = 'r')
       AND (y.oid IS NULL OR y.typrelid = 0 AND y.typcategory <> 'A')
       -- A relation by itself depends on another one as its heir (below), as its TOAST table or as a column's sequence.
       AND (d.classid <> 'pg_class'::regclass OR i.indexrelid IS NOT NULL OR c.relkind IN ('v', 'm') OR d.objsubid > 0)
), nodes AS (
    SELECT class, id, field, max(depth) AS depth FROM found WHERE depth > 0 GROUP BY class, id, field
)"
    };
}
pub(super) use found;
