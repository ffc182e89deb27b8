-- The entries with the numbers $1 to $2: every other one has a second version, four of five are searchable, with their words and
-- their embeddings by the model $3.
WITH versions AS MATERIALIZED (
    SELECT n, version, version = 1 + n % 2 AS is_latest, n % 5 <> 0 AS searchable, gen_random_uuid() AS id,
           'agent-' || n % 50 AS agent_id, '/projects/' || n % 997 || '/notes/' || n AS path,
           CASE WHEN n % 10 = 0 THEN ARRAY['reviewed'] ELSE '{}'::text[] END AS tags,
           json_build_object('title', pg_temp.prose(5), 'text', pg_temp.prose(64), 'source', md5(random()::text),
                             'confidence', random()) AS value,
           now() - n * interval '1 second' + version * interval '1 hour' AS created_at
      FROM generate_series($1::bigint, $2::bigint) AS n, generate_series(1, 1 + n % 2) AS version
), kept AS (
    INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    SELECT '00000000-0000-0000-0000-000000000000', id, agent_id, path, version, value, tags, random(), searchable, created_at
      FROM versions
), heads AS (
    INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
    SELECT '00000000-0000-0000-0000-000000000000', agent_id, path, id, version, created_at FROM versions WHERE is_latest
), documents AS (
    INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document, form, form_version_id)
    SELECT '00000000-0000-0000-0000-000000000000', agent_id, path, id, to_tsvector('pg_catalog.english', value::text), 1, id
      FROM versions WHERE is_latest AND searchable
)
INSERT INTO embeddings (tenant_id, agent_id, path, model_id, version_id, embedding, created_at)
SELECT '00000000-0000-0000-0000-000000000000', agent_id, path, $3, id,
       l2_normalize(centre + (SELECT array_agg(random_normal(0, 0.03)) FROM generate_series(1, 384) WHERE n >= 0)::halfvec),
       created_at
  FROM versions JOIN topics ON topic = n % 2000
 WHERE is_latest AND searchable
