-- Pages of keys and tenants, the oldest first, and the live keys of a tenant. The first index does what api_keys_tenant did.
CREATE INDEX api_keys_listed ON api_keys (tenant_id, created_at, id);
CREATE INDEX api_keys_live ON api_keys (tenant_id, expires_at) WHERE revoked_at IS NULL;
CREATE INDEX tenants_listed ON tenants (created_at, id);
DROP INDEX api_keys_tenant;

-- The key that made a key. No foreign key, so that pg_dump and pg_restore need not care for the order of its rows.
-- Null for keys that belong to their tenant alone: made by a command, with the bootstrap token or a deployment's key.
ALTER TABLE api_keys ADD COLUMN created_by text COLLATE "C";
CREATE INDEX api_keys_made ON api_keys (created_by) WHERE created_by IS NOT NULL;

UPDATE schema_version SET version = 14;
