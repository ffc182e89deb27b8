-- A dump may hold the counts of the minute (pg_dump leaves out the data of an UNLOGGED table only where it is told to), and a
-- restore must not bring them back. A row counts while its own transaction (xmin) is the one that it names; a restore's is not.
ALTER TABLE rate_limits ADD COLUMN written_by xid;

UPDATE schema_version SET version = 10;
