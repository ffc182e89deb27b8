-- $1 live searchable entries, each with a job for the model $2 as a put leaves it.
WITH many AS (
    SELECT gen_random_uuid() AS id, '/notes/' || n AS path,
           to_json('Note ' || n || ': the night porter keeps a spare key behind the clock in the hall') AS value
      FROM generate_series(1, $1) AS n
), versions AS (
    INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    SELECT '00000000-0000-0000-0000-000000000000', id, 'ada', path, 1, value, '{}', 0, true, now() FROM many
), heads AS (
    INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
    SELECT '00000000-0000-0000-0000-000000000000', 'ada', path, id, 1, now() FROM many
), documents AS (
    INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document, form, form_version_id)
    SELECT '00000000-0000-0000-0000-000000000000', 'ada', path, id, to_tsvector('pg_catalog.english', value::text), 1, id FROM many
)
INSERT INTO embedding_jobs (tenant_id, agent_id, path, version_id, model_id)
SELECT '00000000-0000-0000-0000-000000000000', 'ada', path, id, $2 FROM many
