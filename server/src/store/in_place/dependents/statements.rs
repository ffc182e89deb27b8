//! The statements that drop what depends on our tables, and make it anew.

use super::found::found;
use crate::store::in_place::properties::policy;

/// SQL of the statements that make the rights `$acl` of `$object` as they are, each after a line break; null where they are the default.
macro_rules! grants {
    ($acl:literal, $owner:literal, $object:literal) => {
        concat!(
            "(SELECT format(E';\\nREVOKE ALL ON %s FROM PUBLIC, %I', ",
            $object,
            ", pg_get_userbyid(",
            $owner,
            ")) || coalesce(string_agg(format(E';\\nGRANT %s ON %s TO %s%s', rights, ",
            $object,
            ", CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
                             CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END), '' ORDER BY grantee, is_grantable), '')
        FROM (SELECT grantee, is_grantable, string_agg(privilege_type, ', ' ORDER BY privilege_type) AS rights
                FROM aclexplode(",
            $acl,
            ") GROUP BY grantee, is_grantable) AS granted HAVING ",
            $acl,
            " IS NOT NULL)"
        )
    };
}

/// SQL of the statement that makes the comment on the object `$id` of the catalogue `$class`; null where it has none.
macro_rules! comment {
    ($class:literal, $id:literal, $object:literal) => {
        concat!(
            "(SELECT format(E';\\nCOMMENT ON %s IS %L', ",
            $object,
            ", description) FROM pg_description
         WHERE classoid = '",
            $class,
            "'::regclass AND objoid = ",
            $id,
            " AND objsubid = 0)"
        )
    };
}

/// SQL of the statement that gives a trigger or rule the state `$state`; null where that is the default.
macro_rules! state {
    ($kind:literal, $name:literal, $state:literal) => {
        concat!(
            "(SELECT format(E';\\nALTER TABLE %s %s ",
            $kind,
            " %I', c.oid::regclass, word, ",
            $name,
            ")
          FROM (VALUES ('D', 'DISABLE'), ('R', 'ENABLE REPLICA'), ('A', 'ENABLE ALWAYS')) AS states(letter, word) WHERE letter = ",
            $state,
            "::text)"
        )
    };
}

/// SQL of views and materialized views.
macro_rules! views {
    () => {
        concat!(
            "
SELECT depth, lower(kind) || ' ' || name AS what, format('DROP %s %s', kind, name) AS drop,
       concat(format('CREATE %s %s%s%s AS %s', kind, name, CASE WHEN c.relkind = 'm' THEN ' USING ' || (SELECT quote_ident(amname) FROM pg_am WHERE oid = c.relam) END,
                     (SELECT ' WITH (' || string_agg(format('%I = %L', option_name, option_value), ', ') || ')' FROM pg_options_to_table(c.reloptions)),
                     rtrim(pg_get_viewdef(c.oid), ';')),
              CASE WHEN NOT c.relispopulated THEN ' WITH NO DATA' END,
              (SELECT string_agg(concat(E';\\n', pg_get_indexdef(indexrelid), ",
            comment!("pg_class", "indexrelid", "'INDEX ' || indexrelid::regclass"),
            "), '' ORDER BY indexrelid) FROM pg_index WHERE indrelid = c.oid),
              (SELECT format(E';\\nALTER MATERIALIZED VIEW %s CLUSTER ON %I', name, m.relname)
                 FROM pg_index JOIN pg_class m ON m.oid = indexrelid WHERE indrelid = c.oid AND indisclustered),
              format(E';\\nALTER %s %s OWNER TO %I', kind, name, pg_get_userbyid(c.relowner)), ",
            grants!("c.relacl", "c.relowner", "name"),
            ",
              (SELECT string_agg(format(E';\\nGRANT %s (%I) ON %s TO %s%s', privilege_type, attname, name,
                                        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
                                        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END), '' ORDER BY attnum, grantee, privilege_type)
                 FROM pg_attribute CROSS JOIN LATERAL aclexplode(attacl) WHERE attrelid = c.oid),
              (SELECT string_agg(format(E';\\nCOMMENT ON %s IS %L',
                                        CASE objsubid WHEN 0 THEN kind || ' ' || name ELSE format('COLUMN %s.%I', name, attname) END, description),
                                 '' ORDER BY objsubid)
                 FROM pg_description LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid
                WHERE classoid = 'pg_class'::regclass AND objoid = c.oid)) AS create
  FROM nodes JOIN pg_class c ON c.oid = id
 CROSS JOIN LATERAL (SELECT CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind, c.oid::regclass::text AS name) AS names
 WHERE class = 'pg_class'::regclass AND c.relkind IN ('v', 'm')"
        )
    };
}

/// SQL of what is attached to tables: triggers, rules, constraints, defaults, policies.
macro_rules! attached {
    () => {
        concat!(
            "
UNION ALL
SELECT depth, format('trigger %I of %s', tgname, c.oid::regclass), format('DROP TRIGGER %I ON %s', tgname, c.oid::regclass),
       concat(pg_get_triggerdef(t.oid), ",
            state!("TRIGGER", "tgname", "tgenabled"),
            ", ",
            comment!("pg_trigger", "t.oid", "format('TRIGGER %I ON %s', tgname, c.oid::regclass)"),
            ")
  FROM nodes JOIN pg_trigger t ON t.oid = id JOIN pg_class c ON c.oid = tgrelid
 WHERE class = 'pg_trigger'::regclass
UNION ALL
SELECT depth, format('rule %I of %s', rulename, c.oid::regclass), format('DROP RULE %I ON %s', rulename, c.oid::regclass),
       concat(rtrim(pg_get_ruledef(r.oid), ';'), ",
            state!("RULE", "rulename", "ev_enabled"),
            ", ",
            comment!("pg_rewrite", "r.oid", "format('RULE %I ON %s', rulename, c.oid::regclass)"),
            ")
  FROM nodes JOIN pg_rewrite r ON r.oid = id JOIN pg_class c ON c.oid = ev_class
 WHERE class = 'pg_rewrite'::regclass
UNION ALL
SELECT depth, format('%s %I of %s', CASE contype WHEN 'f' THEN 'foreign key' ELSE 'constraint' END, conname, conrelid::regclass),
       format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
       concat(format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(k.oid)), ",
            comment!("pg_constraint", "k.oid", "format('CONSTRAINT %I ON %s', conname, conrelid::regclass)"),
            ")
  FROM nodes JOIN pg_constraint k ON k.oid = id
 WHERE class = 'pg_constraint'::regclass
UNION ALL
SELECT depth, format('default of the column %I of %s', attname, adrelid::regclass),
       format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', adrelid::regclass, attname),
       format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', adrelid::regclass, attname, pg_get_expr(adbin, adrelid))
  FROM nodes JOIN pg_attrdef v ON v.oid = id JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
 WHERE class = 'pg_attrdef'::regclass AND attgenerated = ''
UNION ALL
SELECT depth, format('policy %I of %s', p.polname, polrelid::regclass), format('DROP POLICY %I ON %s', p.polname, polrelid::regclass),
       concat(",
            policy!("polrelid::regclass"),
            ", ",
            comment!("pg_policy", "p.oid", "format('POLICY %I ON %s', p.polname, polrelid::regclass)"),
            ")
  FROM nodes JOIN pg_policy p ON p.oid = id
 WHERE class = 'pg_policy'::regclass"
        )
    };
}

/// SQL of functions, columns of the row type of a table, indexes by functions, and heirs.
macro_rules! others {
    () => {
        concat!(
            "
UNION ALL
SELECT depth, format('%s %s', lower(kind), f.oid::regprocedure), format('DROP %s %s', kind, f.oid::regprocedure),
       concat(CASE WHEN prosqlbody IS NULL THEN E'SET check_function_bodies = off;\\n' END, rtrim(pg_get_functiondef(f.oid), E'\\n'),
              CASE WHEN prosqlbody IS NULL THEN E';\\nRESET check_function_bodies' END, format(E';\\nALTER %s %s OWNER TO %I', kind, f.oid::regprocedure, pg_get_userbyid(proowner)), ",
            grants!("proacl", "proowner", "format('%s %s', kind, f.oid::regprocedure)"),
            ", ",
            comment!("pg_proc", "f.oid", "format('%s %s', kind, f.oid::regprocedure)"),
            ")
  FROM nodes JOIN pg_proc f ON f.oid = id
 CROSS JOIN LATERAL (SELECT CASE prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END AS kind) AS kinds
 WHERE class = 'pg_proc'::regclass AND prokind <> 'a'
UNION ALL
SELECT depth, format('column %I of %s', attname, c.oid::regclass),
       format('ALTER TABLE %s ALTER COLUMN %I TYPE jsonb USING to_jsonb(%2$I)', c.oid::regclass, attname),
       format('ALTER TABLE %1$s ALTER COLUMN %2$I TYPE %3$s USING jsonb_populate_record(NULL::%3$s, %2$I)', c.oid::regclass, attname,
              format_type(atttypid, atttypmod))
  FROM nodes JOIN pg_class c ON c.oid = id JOIN pg_attribute ON attrelid = c.oid AND attnum = field JOIN pg_type y ON y.oid = atttypid
 WHERE class = 'pg_class'::regclass AND field > 0 AND c.relkind = 'r' AND y.typtype = 'c'
UNION ALL
SELECT depth, format('index %s', c.oid::regclass), format('DROP INDEX %s', c.oid::regclass),
       concat(pg_get_indexdef(c.oid), ",
            comment!("pg_class", "c.oid", "format('INDEX %s', c.oid::regclass)"),
            ")
  FROM nodes JOIN pg_class c ON c.oid = id
 WHERE class = 'pg_class'::regclass AND field = 0 AND c.relkind IN ('i', 'I')
UNION ALL
SELECT 1, format('inheritance of %s from %s', inhrelid::regclass, inhparent::regclass),
       format('ALTER TABLE %s NO INHERIT %s', inhrelid::regclass, inhparent::regclass),
       format('ALTER TABLE %s INHERIT %s', inhrelid::regclass, inhparent::regclass)
  FROM pg_inherits
 WHERE inhrelid IN (SELECT oid FROM ours) OR inhparent IN (SELECT oid FROM ours)
UNION ALL
SELECT depth, what, format('-- drop by hand: %s', what), format('-- make anew by hand: %s', what)
  FROM nodes CROSS JOIN LATERAL (SELECT replace(pg_describe_object(class, id, field), E'\\n', ' ') AS what) AS named
  LEFT JOIN pg_proc f ON class = 'pg_proc'::regclass AND f.oid = id
  LEFT JOIN pg_attrdef v ON class = 'pg_attrdef'::regclass AND v.oid = id
  LEFT JOIN pg_attribute g ON attrelid = adrelid AND attnum = adnum
  LEFT JOIN pg_class c ON class = 'pg_class'::regclass AND c.oid = id
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = field AND field > 0
  LEFT JOIN pg_type y ON y.oid = a.atttypid
 WHERE class NOT IN ('pg_class'::regclass, 'pg_trigger'::regclass, 'pg_rewrite'::regclass, 'pg_constraint'::regclass,
                     'pg_attrdef'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass)
    OR f.prokind = 'a' OR g.attgenerated <> ''
    OR field > 0 AND (c.relkind <> 'r' OR y.typtype <> 'c')"
        )
    };
}

/// What depends on the tables of the names `$2` in the schema `$1`, the deepest first.
pub(super) const DEPENDENTS: &str =
    concat!(found!(), views!(), attached!(), others!(), "\n ORDER BY depth DESC, what");
