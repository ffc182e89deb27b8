-- The form in which a search document has its words: 0 in lower case, 1 folded (Unicode NFKC and full case folding). Documents of an
-- older form are made anew in the background. A program that does not know forms writes a document and leaves both columns as they
-- are: `form` counts only while it is of the document's version. No default is stored in old rows, so that the table is not rewritten.

ALTER TABLE search_documents
    ADD COLUMN form            smallint NOT NULL DEFAULT 0,
    ADD COLUMN form_version_id uuid;

UPDATE schema_version SET version = 16;
