-- What a list tells of entries besides their paths, so that it need not read their values and first versions. Both columns are null in
-- rows of before and of a program that does not know them; what they would say is then computed, as before. Nothing is rewritten. Heads
-- come first, as in every write, so that the locks of both tables are taken in one order.

-- When the first version of the entry was written, even if that is not kept any more. In no index, so that overwritten heads stay on
-- their page (HOT).
ALTER TABLE entries ADD COLUMN created_at timestamptz;

-- The bytes of the value's text. They count only while there is a value: a program that does not know the column leaves them as they are
-- when it turns an expired version into a tombstone.
ALTER TABLE entry_versions ADD COLUMN bytes integer;

UPDATE schema_version SET version = 18;
