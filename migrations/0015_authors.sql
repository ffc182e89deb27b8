-- The key that wrote a version, as its id: its label is looked up where it is shown. Without a foreign key, so that the tables
-- of the partial backup restore in any order. Null for versions of before, of a program that does not know the column, and of
-- what was written without a key.
ALTER TABLE entry_versions ADD COLUMN author text COLLATE "C";

-- How many entries a move or the delete of a subtree has changed, for the repetition of its answer.
ALTER TABLE idempotency_keys ADD COLUMN entries bigint;

UPDATE schema_version SET version = 15;
