-- How workers find what is due, and how a version that has its job already is told from one that has none.

-- Claimed in this order. A running job's next_attempt_at is the end of its lease.
CREATE INDEX embedding_jobs_due ON embedding_jobs (model_id, next_attempt_at, id) WHERE status IN ('queued', 'running');
CREATE INDEX embedding_jobs_version ON embedding_jobs (version_id) WHERE status <> 'succeeded';

UPDATE schema_version SET version = 7;
