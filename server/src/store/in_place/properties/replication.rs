//! What logical replication goes by.

/// By what subscribers know rows. Without it, a published table takes no UPDATE.
pub(super) const IDENTITY: &str = concat!(
    pairs!(),
    ", identities AS (
    SELECT t.*, l.relreplident AS live_kind, s.relreplident AS staged_kind,
           (SELECT relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = t.live AND indisreplident) AS live_index,
           (SELECT relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = t.staged AND indisreplident) AS staged_index
      FROM tables t JOIN pg_class l ON l.oid = t.live JOIN pg_class s ON s.oid = t.staged
)
SELECT format('ALTER TABLE %s REPLICA IDENTITY %s', target,
              CASE WHEN live_kind = 'd' THEN 'DEFAULT' WHEN live_kind = 'f' THEN 'FULL' WHEN live_index IS NULL THEN 'NOTHING'
                   ELSE 'USING INDEX ' || quote_ident(live_index) END) AS statement,
       NULL AS role, 'the replica identity of ' || name AS what,
       'give the live table one that does not need that index (ALTER TABLE ... REPLICA IDENTITY FULL), then run this again' AS advice
  FROM identities
 WHERE live_kind <> staged_kind OR live_index IS DISTINCT FROM staged_index
 ORDER BY name"
);

/// Publications that name tables. Publications of all tables, or of a schema, have what lies there.
pub(super) const PUBLICATIONS: &str = concat!(
    pairs!(),
    ", published AS (
    SELECT t.name, t.source, t.target, p.pubname,
           coalesce((SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) || ')'
                       FROM pg_attribute a WHERE a.attrelid = t.live AND a.attnum = ANY (r.prattrs::int2[])), '')
           || coalesce(' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')', '') AS how
      FROM tables t JOIN pg_publication_rel r ON r.prrelid = t.live JOIN pg_publication p ON p.oid = r.prpubid
     WHERE NOT EXISTS (SELECT FROM pg_publication_rel s WHERE s.prpubid = r.prpubid AND s.prrelid = t.staged)
)
SELECT format('ALTER PUBLICATION %I ADD TABLE %s%s', pubname, target, how) AS statement, NULL AS role,
       format('the place of %s in the publication %I', name, pubname) AS what,
       format('have its owner run ALTER PUBLICATION %I ADD TABLE %s%s once it is restored', pubname, source, how) AS advice
  FROM published
 ORDER BY pubname, name"
);

/// Those who follow our tables, or whom our tables follow: a restore is no change that they are told of.
pub(super) const SUBSCRIBERS: &str = "
WITH tables AS (
    SELECT oid, relname FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident($1)) AND relname = ANY ($3) AND relkind = 'r'
)
SELECT NULL AS statement, NULL AS role, format('the publication %I', pubname) AS what,
       CASE WHEN puballtables
            THEN format('it is of all tables, so its subscribers are sent what is loaded into the schema %1$I, and stop at it where they have no such tables: disable them (ALTER SUBSCRIPTION ... DISABLE) or drop their slots before the restore, and have them copy all anew after it', $2)
            ELSE 'its subscribers are not told of the restore, and keep the memory of before: have them empty their tables and copy all anew after it (DROP SUBSCRIPTION, TRUNCATE, CREATE SUBSCRIPTION)' END AS advice
  FROM pg_publication p
 WHERE puballtables
    OR EXISTS (SELECT FROM pg_publication_rel r JOIN tables t ON t.oid = r.prrelid WHERE r.prpubid = p.oid)
    OR EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid AND n.pnnspid = to_regnamespace(quote_ident($1)))
UNION ALL
SELECT NULL, NULL, format('the subscription %I', s.subname),
       format('it writes into %s, and leaves the restored tables alone until somebody runs ALTER SUBSCRIPTION %I REFRESH PUBLICATION WITH (copy_data = false)',
              string_agg(quote_ident(t.relname), ', ' ORDER BY t.relname), s.subname)
  FROM pg_subscription_rel r JOIN tables t ON t.oid = r.srrelid JOIN pg_subscription s ON s.oid = r.srsubid
 GROUP BY s.subname
 ORDER BY what";
