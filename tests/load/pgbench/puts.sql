\set first random(0, 99999)
WITH new AS (
    -- In one order, so that two of them do not wait for each other.
    SELECT '/notes/' || (100000 + (:first + i * 997) % 100000) AS path, uuidv7() AS id FROM generate_series(0, 99) AS i ORDER BY path
), head AS (
    INSERT INTO bench.entries AS e (tenant_id, agent_id, path, latest_version_id, version, updated_at)
    SELECT '00000000-0000-0000-0000-000000000000', 'ada', new.path, new.id, 1, now() FROM new
    ON CONFLICT (tenant_id, agent_id, path) DO UPDATE
       SET latest_version_id = excluded.latest_version_id, version = e.version + 1,
           updated_at = excluded.updated_at, expires_at = NULL, deleted_at = NULL
    RETURNING e.tenant_id, e.agent_id, e.path, e.latest_version_id, e.version, e.updated_at
)
INSERT INTO bench.entry_versions
       (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
SELECT tenant_id, latest_version_id, agent_id, path, version,
       '{"text":"Ada is allergic to peanuts; she told me at lunch and asked me to remember it.","n":123456}',
       '{}', 0, false, updated_at
  FROM head
RETURNING id, created_at;
