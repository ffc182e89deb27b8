-- embedding_jobs_by_hand replaces the first. A version's jobs are found by its entry, with embedding_jobs_waiting, which replaces the second. Each
-- searchable put wrote both.
DROP INDEX IF EXISTS embedding_jobs_fresh;
DROP INDEX IF EXISTS embedding_jobs_version;

UPDATE schema_version SET version = 21;
