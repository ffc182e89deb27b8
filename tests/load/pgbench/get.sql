\set n random(100000, 199999)
SELECT v.value, v.id, v.created_at, v.expires_at, v.tags FROM entries e JOIN entry_versions v ON v.tenant_id = e.tenant_id AND v.id = e.latest_version_id WHERE e.tenant_id = '00000000-0000-0000-0000-000000000000' AND e.agent_id = 'ada' AND e.path = '/notes/' || :n AND e.deleted_at IS NULL AND (e.expires_at IS NULL OR e.expires_at > now());
