-- What tenants have stored, and how many idempotency keys they use a day. A program that does not know these columns goes on;
-- what it writes is in no stored bytes until they are counted anew.

ALTER TABLE quota_usage
    -- Rows of idempotency keys that the day's requests wrote.
    ADD COLUMN idempotency_keys bigint NOT NULL DEFAULT 0,
    -- By how much the day's writes have made the tenant's stored bytes grow.
    ADD COLUMN stored_bytes     bigint NOT NULL DEFAULT 0;

-- The rest of a tenant's stored bytes. No write touches or waits for this row: writers have locked the day's row of quota_usage
-- already, and a second one would cost each of them. It takes what sweeps give back, what a count corrects, and days that are over.
CREATE TABLE storage_usage (
    tenant_id   uuid PRIMARY KEY,
    -- Stored bytes are these and quota_usage.stored_bytes of all days from `since` on.
    bytes       bigint NOT NULL,
    since       date NOT NULL DEFAULT '-infinity',
    -- The transaction (xmin) that wrote the tenant's row in `tenants` when its bytes were last counted. A restore writes that
    -- row anew, so that the tenant is counted anew, whatever the restore has brought.
    counted_for xid
);

UPDATE schema_version SET version = 11;
