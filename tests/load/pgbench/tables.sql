-- Tables of the same shape, and with the same rows, for pgbench's own puts.
CREATE SCHEMA bench;
CREATE TABLE bench.entries (LIKE public.entries INCLUDING ALL);
CREATE TABLE bench.entry_versions (LIKE public.entry_versions INCLUDING ALL);
-- LIKE leaves storage parameters behind.
ALTER TABLE bench.entries SET (fillfactor = 85);
INSERT INTO bench.entries SELECT * FROM public.entries;
INSERT INTO bench.entry_versions SELECT * FROM public.entry_versions;
VACUUM ANALYZE bench.entries;
VACUUM ANALYZE bench.entry_versions;
