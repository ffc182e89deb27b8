//! All that PostgreSQL's catalogues say of the tables of a schema.

use std::collections::BTreeSet;

use sqlx::{Connection as _, Executor as _, PgConnection};

/// What differs between any two tables, or is no property: OIDs of their own, names by OIDs, and what is counted.
const CATALOGUES: &str = r#"
WITH tables AS (
    SELECT c.oid, c.relname AS of FROM pg_class c WHERE c.relnamespace = quote_ident($1)::regnamespace AND c.relname = ANY ($2)
), relations AS (
    SELECT oid, 'table ' || of AS name FROM tables
    UNION ALL SELECT reltoastrelid, 'toast of ' || of FROM tables JOIN pg_class USING (oid) WHERE reltoastrelid <> 0
    UNION ALL SELECT indexrelid, format('index %s of %s', indexrelid::regclass, of) FROM tables JOIN pg_index ON indrelid = tables.oid
    UNION ALL SELECT objid, 'sequence ' || objid::regclass FROM tables JOIN pg_depend ON refobjid = tables.oid AND deptype IN ('a', 'i')
                JOIN pg_class c ON c.oid = objid AND relkind = 'S'
), objects AS (
    SELECT 'pg_class'::regclass AS class, oid, name FROM relations
    UNION ALL SELECT 'pg_constraint'::regclass, k.oid, format('constraint %s of %s', conname, of) FROM tables JOIN pg_constraint k ON conrelid = tables.oid
    UNION ALL SELECT 'pg_policy'::regclass, p.oid, format('policy %s of %s', polname, of) FROM tables JOIN pg_policy p ON polrelid = tables.oid
    UNION ALL SELECT 'pg_statistic_ext'::regclass, x.oid, 'statistics ' || stxname FROM tables JOIN pg_statistic_ext x ON stxrelid = tables.oid
    UNION ALL SELECT 'pg_attrdef'::regclass, d.oid, format('default %s of %s', adnum, of) FROM tables JOIN pg_attrdef d ON adrelid = tables.oid
    UNION ALL SELECT 'pg_publication_rel'::regclass, r.oid, format('%s in %s', of, prpubid) FROM tables JOIN pg_publication_rel r ON prrelid = tables.oid
), rights AS (
    SELECT name, 0 AS attnum, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) AS acl
      FROM relations JOIN pg_class USING (oid)
    UNION ALL SELECT name, attnum, attacl FROM relations JOIN pg_attribute ON attrelid = oid
)
SELECT name || ': ' || (to_jsonb(c) - '{oid,relname,relnamespace,reltype,relfilenode,relpages,reltuples,relallvisible,relallfrozen,reltoastrelid,relfrozenxid,relminmxid,relacl,reloptions}'::text[])
  FROM relations JOIN pg_class c USING (oid)
UNION ALL
SELECT name || ': option ' || option FROM relations JOIN pg_class USING (oid), unnest(reloptions) AS option WHERE option !~ '^autovacuum_enabled='
UNION ALL
SELECT format('%s: column %s %s', name, attname, to_jsonb(a) - '{attrelid,attacl}'::text[])
  FROM relations JOIN pg_attribute a ON attrelid = oid
 WHERE name !~ '^toast'
UNION ALL
SELECT format('%s: %s %s may %s by %s, and pass it on: %s', name, attnum, grantee, privilege_type, grantor, is_grantable)
  FROM rights, aclexplode(acl)
UNION ALL
SELECT format('default %s of %s: %s', adnum, name, pg_get_expr(adbin, adrelid)) FROM relations JOIN pg_attrdef ON adrelid = relations.oid
UNION ALL
SELECT format('%s: %s %s', name, to_jsonb(i) - '{indexrelid,indrelid,indexprs,indpred}'::text[], pg_get_indexdef(indexrelid))
  FROM relations JOIN pg_index i ON indexrelid = oid
UNION ALL
SELECT format('constraint %s of %s: %s %s', conname, of, to_jsonb(k) - '{oid,conname,connamespace,conrelid,conindid,confrelid,conbin}'::text[], pg_get_constraintdef(k.oid))
  FROM tables JOIN pg_constraint k ON conrelid = tables.oid
UNION ALL
SELECT format('policy %s of %s: %s %s %s', polname, of, to_jsonb(p) - '{oid,polrelid,polqual,polwithcheck}'::text[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
  FROM tables JOIN pg_policy p ON polrelid = tables.oid
UNION ALL
SELECT format('statistics %s of %s: %s %s', stxname, of, to_jsonb(x) - '{oid,stxrelid,stxnamespace,stxexprs}'::text[], pg_get_statisticsobjdef(x.oid))
  FROM tables JOIN pg_statistic_ext x ON stxrelid = tables.oid
UNION ALL
SELECT format('%s in %s: %s %s', of, prpubid, prattrs, pg_get_expr(prqual, prrelid)) FROM tables JOIN pg_publication_rel ON prrelid = tables.oid
UNION ALL
SELECT format('%s: %s', name, to_jsonb(s) - '{seqrelid}'::text[]) FROM relations JOIN pg_sequence s ON seqrelid = oid
UNION ALL
SELECT format('%s: comment %s %s', name, objsubid, description) FROM objects JOIN pg_description ON objoid = oid AND classoid = class
UNION ALL
SELECT format('%s: label %s %s %s', name, objsubid, provider, label) FROM objects JOIN pg_seclabel ON objoid = oid AND classoid = class
UNION ALL
SELECT format('%s: depends %s on %s %s', name, deptype, pg_describe_object(refclassid, refobjid, refobjsubid), objsubid)
  FROM objects JOIN pg_depend ON objid = oid AND classid = class
 WHERE name !~ '^toast'
UNION ALL
SELECT format('%s: depends %s on the role %s', name, deptype, refobjid)
  FROM objects JOIN pg_shdepend ON objid = oid AND classid = class AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"#;

/// A line a fact of the tables `tables` of `schema`.
pub async fn facts(
    connection: &mut PgConnection,
    schema: &str,
    tables: &[&str],
) -> BTreeSet<String> {
    let mut transaction = connection.begin().await.unwrap();
    let path = "SELECT set_config('search_path', quote_ident($1), true)";
    transaction.execute(sqlx::query(path).bind(schema)).await.unwrap();
    let facts = sqlx::query_scalar(CATALOGUES).bind(schema).bind(tables);
    let facts: Vec<String> = facts.fetch_all(&mut *transaction).await.unwrap();
    assert!(facts.len() > 300, "of all tables: {facts:#?}");
    transaction.commit().await.unwrap();
    facts.into_iter().collect()
}

/// Fails where two schemas are not alike.
pub fn assert_alike(live: &BTreeSet<String>, other: &BTreeSet<String>) {
    let lost: Vec<_> = live.difference(other).collect();
    let gained: Vec<_> = other.difference(live).collect();
    assert!(lost.is_empty() && gained.is_empty(), "lost {lost:#?}, and gained {gained:#?}");
}
