-- no-transaction
-- The versions of an agent that have one of some tags, as searches ask that keep little of very much. An agent's name is made
-- an array since GIN, without an extension, knows arrays alone. No list of changes to come (fastupdate): each search would
-- read it, and one unlucky put empty it. Built without stopping writers, so it is a migration of its own.
CREATE INDEX CONCURRENTLY IF NOT EXISTS entry_versions_tagged ON entry_versions
    USING gin (tags, (ARRAY[tenant_id::text || agent_id])) WITH (fastupdate = off)
    WHERE searchable AND cardinality(tags) > 0;
