-- no-transaction
-- What the sweeper of expired values walks along. Built without stopping writers, so it is a migration of its own.
CREATE INDEX CONCURRENTLY IF NOT EXISTS entry_versions_expiring ON entry_versions (expires_at)
    WHERE expires_at IS NOT NULL AND deleted_at IS NULL;
