-- Vectors of live searchable entries, and the work of making them. None of the tables of the partial backup depends on
-- anything here, so that backup restores where there is no pgvector.

CREATE EXTENSION IF NOT EXISTS vector;

-- Several models at once, so that one can be filled while another serves.
CREATE TABLE embedding_models (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    dimensions integer NOT NULL CHECK (dimensions BETWEEN 1 AND 4000),
    -- filling: jobs are made for it, searches do not use it. serving: the one that searches use. retired: to be dropped.
    state      text NOT NULL CHECK (state IN ('filling', 'serving', 'retired')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX embedding_models_serving ON embedding_models (state) WHERE state = 'serving';

-- One row a live searchable entry and model. A row whose version is no longer the entry's latest is never served, and is swept.
CREATE TABLE embeddings (
    tenant_id  uuid NOT NULL,
    agent_id   text COLLATE "C" NOT NULL,
    path       text COLLATE "C" NOT NULL,
    model_id   integer NOT NULL REFERENCES embedding_models (id) ON DELETE CASCADE,
    version_id uuid NOT NULL,
    -- Without dimensions: they are the model's, and each model has an index of its own.
    embedding  halfvec NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, agent_id, path, model_id)
);

-- A version to be embedded. Operators may set status = 'queued', attempts = 0 by hand: a job without attempts is due
-- whatever next_attempt_at and leased_until say.
CREATE TABLE embedding_jobs (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       uuid NOT NULL,
    agent_id        text COLLATE "C" NOT NULL,
    path            text COLLATE "C" NOT NULL,
    version_id      uuid NOT NULL,
    model_id        integer NOT NULL REFERENCES embedding_models (id) ON DELETE CASCADE,
    status          text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'succeeded', 'failed')),
    attempts        integer NOT NULL DEFAULT 0,
    last_error      text,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    leased_until    timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz
) WITH (fillfactor = 70);
CREATE INDEX embedding_jobs_open ON embedding_jobs (id) WHERE status IN ('queued', 'running');
CREATE INDEX embedding_jobs_finished ON embedding_jobs (finished_at) WHERE status = 'succeeded';

UPDATE schema_version SET version = 5;
