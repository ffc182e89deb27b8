-- Live searchable entries with their embeddings, of the paths $1, tags $2 and vectors $3, by the model $4.
WITH many AS (
    SELECT *, gen_random_uuid() AS id FROM unnest($1::text[], $2::text[], $3::text[]) AS m (path, tags, vector)
), versions AS (
    INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    SELECT '00000000-0000-0000-0000-000000000000', id, 'ada', path, 1, to_json(path), tags::text[], 0, true, now() FROM many
), heads AS (
    INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
    SELECT '00000000-0000-0000-0000-000000000000', 'ada', path, id, 1, now() FROM many
), documents AS (
    INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document, form, form_version_id)
    SELECT '00000000-0000-0000-0000-000000000000', 'ada', path, id, to_tsvector('pg_catalog.english', path), 1, id FROM many
)
INSERT INTO embeddings (tenant_id, agent_id, path, model_id, version_id, embedding)
SELECT '00000000-0000-0000-0000-000000000000', 'ada', path, $4, id, vector::halfvec FROM many
