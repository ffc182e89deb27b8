-- Entries of one version each, as puts would have left them, with the numbers $1 to $2: those of each $3rd number belong to one tenant.
WITH versions AS (
    INSERT INTO entry_versions
           (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(n % $3), 12, '0'))::uuid, uuidv7(), 'ada', '/notes/' || n, 1,
           ('{"text":"Ada is allergic to peanuts; she told me at lunch and asked me to remember it.","n":' || n || '}')::json,
           '{}', 0, false, now()
      FROM generate_series($1::bigint, $2::bigint) AS n
    RETURNING tenant_id, agent_id, path, id, version, created_at
)
INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
SELECT * FROM versions
