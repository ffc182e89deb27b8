//! Who may do what: owners, grants, row security and its policies.

/// Owners that our role cannot act for, as what is restored needs.
pub(super) const FOREIGN_OWNERS: &str = "
SELECT NULL AS statement, NULL AS role, format('the table %I', relname) AS what,
       format('it belongs to the role %1$I, for which %2$I may not act, so that it can be neither moved nor replaced: run GRANT %1$I TO %2$I WITH INHERIT TRUE, SET TRUE; as a superuser, then run this again',
              pg_get_userbyid(relowner), current_user) AS advice
  FROM pg_class
 WHERE relnamespace = to_regnamespace(quote_ident($1)) AND relname = ANY ($3) AND relkind = 'r' AND $2 <> ''
   AND NOT (pg_has_role(relowner, 'USAGE') AND pg_has_role(relowner, 'SET'))
 ORDER BY relname";

/// Owners. Indexes and the sequences of columns belong to the owner of their table.
pub(super) const OWNERS: &str = concat!(
    pairs!(),
    "
SELECT format('ALTER TABLE %s OWNER TO %I', target, pg_get_userbyid(l.relowner)) AS statement, NULL AS role,
       'the owner of the table ' || name AS what,
       format('run GRANT %I TO %I WITH INHERIT TRUE, SET TRUE; as a superuser, then run this again', pg_get_userbyid(l.relowner), current_user) AS advice
  FROM tables JOIN pg_class l ON l.oid = live JOIN pg_class s ON s.oid = staged
 WHERE l.relowner <> s.relowner
 ORDER BY name"
);

/// SQL of the rights on the relations of one side and on their columns.
macro_rules! rights {
    ($side:literal) => {
        concat!(
            "SELECT r.live, NULL::name AS field, a.*
      FROM relations r JOIN pg_class c ON c.oid = r.",
            $side,
            " CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault(CASE r.kind WHEN 'SEQUENCE' THEN 's' ELSE 'r' END::\"char\", c.relowner))) a
     WHERE r.kind <> 'INDEX'
    UNION ALL
    SELECT r.live, f.attname, a.*
      FROM relations r JOIN pg_attribute f ON f.attrelid = r.",
            $side,
            " AND NOT f.attisdropped CROSS JOIN LATERAL aclexplode(f.attacl) a
     WHERE r.kind = 'TABLE'"
        )
    };
}

/// Grants. Where one differs, all of the relation are made anew: defaults of the database (ALTER DEFAULT PRIVILEGES) may have given
/// rights that the live table does not give. Who grants a right on has to have it already.
pub(super) const GRANTS: &str = concat!(
    pairs!(),
    ", wanted AS (",
    rights!("live"),
    "), there AS (",
    rights!("staged"),
    "), differing AS (
    SELECT DISTINCT live FROM ((TABLE wanted EXCEPT TABLE there) UNION ALL (TABLE there EXCEPT TABLE wanted)) AS rights
), steps AS (
    SELECT DISTINCT live, 0 AS step, 0 AS chain, grantee, NULL::oid AS grantor,
           format('REVOKE ALL%s ON %%s FROM %%s CASCADE', ' (' || replace(quote_ident(field), '%', '%%') || ')') AS statement
      FROM there WHERE live IN (TABLE differing)
    UNION ALL
    SELECT live, 1, chain, grantee, grantor,
           format('GRANT %s ON %%s TO %%s%s',
                  string_agg(privilege_type || coalesce(' (' || replace(quote_ident(field), '%', '%%') || ')', ''), ', ' ORDER BY privilege_type, field),
                  CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)
      FROM wanted CROSS JOIN LATERAL (
           WITH RECURSIVE chains AS (
               SELECT wanted.grantor AS role, 0 AS length
               UNION
               SELECT on_.grantor, length + 1 FROM chains JOIN wanted on_ ON on_.live = wanted.live AND on_.grantee = role AND on_.is_grantable
                WHERE on_.grantor <> on_.grantee
           ) SELECT max(length) AS chain FROM chains) AS c
     WHERE live IN (TABLE differing)
     GROUP BY live, chain, grantee, grantor, is_grantable
)
SELECT format(statement, format('%s %s', kind, target), CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END) AS statement,
       CASE WHEN grantor <> l.relowner AND pg_has_role(grantor, 'SET') THEN pg_get_userbyid(grantor)::text END AS role,
       'a right on ' || what AS what, 'revoke it on the live table, then run this again' AS advice
  FROM steps JOIN relations USING (live) JOIN pg_class l ON l.oid = live
 ORDER BY name, live, step, chain, statement"
);

/// SQL of the definition of the policy `p` on `$on`.
macro_rules! policy {
    ($on:literal) => {
        concat!(
            "format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', p.polname, ",
            $on,
            ", CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
              CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
              (SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END, ', ') FROM unnest(p.polroles) AS role))
           || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
           || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')"
        )
    };
}
pub(in crate::store::in_place) use policy;

/// Policies. Each is made anew: what it says is not compared, since it may name other tables. One that the live table has no more goes.
pub(super) const POLICIES: &str = concat!(
    pairs!(),
    "
SELECT format('DROP POLICY IF EXISTS %I ON %s; ', p.polname, target) || ",
    policy!("target"),
    " AS statement, NULL AS role, format('the policy %I of %s', p.polname, name) AS what,
       'make what it names usable for our role, or drop it, then run this again' AS advice
  FROM tables JOIN pg_policy p ON p.polrelid = live
UNION ALL
SELECT format('DROP POLICY %I ON %s', p.polname, target), NULL, format('the lack of the policy %I of %s', p.polname, name),
       'make that policy on the live table, then run this again'
  FROM tables JOIN pg_policy p ON p.polrelid = staged
 WHERE NOT EXISTS (SELECT FROM pg_policy l WHERE l.polrelid = live AND l.polname = p.polname)
 ORDER BY what"
);

/// Whether policies count, and whether for the owner too.
pub(super) const ROW_SECURITY: &str = concat!(
    pairs!(),
    "
SELECT format('ALTER TABLE %s %s ROW LEVEL SECURITY, %s ROW LEVEL SECURITY', target,
              CASE WHEN l.relrowsecurity THEN 'ENABLE' ELSE 'DISABLE' END,
              CASE WHEN l.relforcerowsecurity THEN 'FORCE' ELSE 'NO FORCE' END) AS statement,
       NULL AS role, 'the row security of ' || name AS what, 'turn it off on the live table, then run this again' AS advice
  FROM tables JOIN pg_class l ON l.oid = live JOIN pg_class s ON s.oid = staged
 WHERE (l.relrowsecurity, l.relforcerowsecurity) <> (s.relrowsecurity, s.relforcerowsecurity)
 ORDER BY name"
);
