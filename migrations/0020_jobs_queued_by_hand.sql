-- no-transaction
-- Jobs that somebody has queued by hand (status = 'queued', attempts = 0) although their time has not come. A new job's time is when it was made,
-- so that puts and claims do not write this index. Built without stopping writers, so it is a migration of its own.
CREATE INDEX CONCURRENTLY IF NOT EXISTS embedding_jobs_by_hand ON embedding_jobs (model_id, next_attempt_at)
    WHERE status = 'queued' AND attempts = 0 AND next_attempt_at > created_at;
