-- no-transaction
-- How workers take jobs tenant by tenant: the next tenant that has any, and its jobs in the order in which they are due. A
-- running job's next_attempt_at is the end of its lease. The condition is another than that of embedding_jobs_due, so that no
-- plan takes that one, which knows no tenants and is the previous release's. Built without stopping writers, so it is a
-- migration of its own.
CREATE INDEX CONCURRENTLY IF NOT EXISTS embedding_jobs_turns ON embedding_jobs (model_id, tenant_id, next_attempt_at, id)
    WHERE status NOT IN ('succeeded', 'failed');
