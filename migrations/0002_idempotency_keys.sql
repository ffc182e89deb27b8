-- The answers of puts and deletes that came with an Idempotency-Key, for 24 hours.

CREATE TABLE idempotency_keys (
    tenant_id    uuid NOT NULL,
    key          text COLLATE "C" NOT NULL,
    -- SHA-256 of the request in canonical form: the same key with another request is refused.
    request_hash bytea NOT NULL,
    -- False only within the transaction that is about to answer.
    answered     boolean NOT NULL DEFAULT false,
    -- The first answer: a version and its moment, or nulls where a delete found nothing.
    version_id   uuid,
    written_at   timestamptz,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
-- What is too old is swept in this order.
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

UPDATE schema_version SET version = 2;
