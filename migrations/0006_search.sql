-- What full text search looks at: one row an entry that was last put as searchable. Not part of the partial backup: it is
-- made anew from the entries.

CREATE TABLE search_documents (
    tenant_id  uuid NOT NULL,
    agent_id   text COLLATE "C" NOT NULL,
    path       text COLLATE "C" NOT NULL,
    -- A row counts only while this is the entry's latest version: deletes, expiry, puts that are not searchable, and programs
    -- that do not know this table leave it as it is. What does not count any more is swept.
    version_id uuid NOT NULL,
    document   tsvector NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, path)
);

-- For rare words among very many entries of an agent; else the primary key's range is read. Both find the same.
CREATE INDEX search_documents_words ON search_documents USING gin (document);

UPDATE schema_version SET version = 6;
