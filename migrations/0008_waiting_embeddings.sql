-- no-transaction
-- What has no embedding yet, as searches by meaning ask: they find it by its words. Built without stopping writers, so it is
-- a migration of its own.
CREATE INDEX CONCURRENTLY IF NOT EXISTS embedding_jobs_waiting ON embedding_jobs (tenant_id, agent_id, path)
    WHERE status <> 'succeeded';
