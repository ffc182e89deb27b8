-- 100,000 entries of one version each, as puts would have left them, and empty tables of the same shape for pgbench's own
-- puts.
INSERT INTO entry_versions
       (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
SELECT '00000000-0000-0000-0000-000000000000', uuidv7(), 'ada', '/notes/' || n, 1,
       ('{"text":"Ada is allergic to peanuts; she told me at lunch and asked me to remember it.","n":' || n || '}')::json,
       '{}', 0, false, now()
  FROM generate_series(100000, 199999) AS n;

INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
SELECT tenant_id, agent_id, path, id, version, created_at FROM entry_versions;

CREATE SCHEMA bench;
CREATE TABLE bench.entries (LIKE public.entries INCLUDING ALL);
CREATE TABLE bench.entry_versions (LIKE public.entry_versions INCLUDING ALL);
-- LIKE leaves storage parameters behind.
ALTER TABLE bench.entries SET (fillfactor = 85);
INSERT INTO bench.entries SELECT * FROM public.entries;
INSERT INTO bench.entry_versions SELECT * FROM public.entry_versions;
