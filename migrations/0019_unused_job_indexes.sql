-- Jobs are claimed by embedding_jobs_turns since schema 12. These two were written with each searchable put, and twice with each job, and read
-- by no statement.
DROP INDEX IF EXISTS embedding_jobs_open;
DROP INDEX IF EXISTS embedding_jobs_due;

UPDATE schema_version SET version = 19;
