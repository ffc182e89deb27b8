-- Vectors of the chunks of long values after the first one, which stays in `embeddings`: a program that knows no chunks goes on
-- beside one that does. Rows count only while their version is the entry's latest; others are swept.

CREATE TABLE embedding_chunks (
    tenant_id  uuid NOT NULL,
    agent_id   text COLLATE "C" NOT NULL,
    path       text COLLATE "C" NOT NULL,
    model_id   integer NOT NULL REFERENCES embedding_models (id) ON DELETE CASCADE,
    -- 1 is the second chunk.
    n          smallint NOT NULL,
    version_id uuid NOT NULL,
    embedding  halfvec NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, path, model_id, n)
);

-- The last version that was long enough to have chunks: without one, the entry has none. Where it is not the row's own version and the
-- value is long, a program that knows no chunks has embedded it, and it is embedded anew.
ALTER TABLE embeddings ADD COLUMN chunked_version_id uuid;

-- Models whose vectors have an index have one of their chunks: on an empty table it costs nothing.
DO $$
DECLARE
    model record;
BEGIN
    FOR model IN
        SELECT m.id, m.dimensions
          FROM embedding_models m
          JOIN pg_class c ON c.relname = 'embeddings_hnsw_' || m.id
          JOIN pg_index i ON i.indexrelid = c.oid
         WHERE i.indrelid = 'embeddings'::regclass AND i.indisvalid
    LOOP
        EXECUTE format('CREATE INDEX embedding_chunks_hnsw_%1$s ON embedding_chunks
                            USING hnsw ((embedding::halfvec(%2$s)) halfvec_cosine_ops) WITH (m = 16, ef_construction = 100)
                            WHERE model_id = %1$s', model.id, model.dimensions);
    END LOOP;
END
$$;

UPDATE schema_version SET version = 17;
