-- Tenants, keys, entries and their versions, and the day's counts.
--
-- The first four tables are dumped and restored by themselves (the runbook's partial backup): they use no
-- extension, function, trigger, enum or reference to any other table.

CREATE TABLE schema_version (
    singleton      boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    version        integer NOT NULL,
    -- The oldest schema a program may have been built for and still work on this one.
    min_compatible integer NOT NULL
);
INSERT INTO schema_version (version, min_compatible) VALUES (1, 1);

CREATE TABLE tenants (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tenants (id, name) VALUES ('00000000-0000-0000-0000-000000000000', 'default');

CREATE TABLE api_keys (
    id          text COLLATE "C" PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants (id),
    -- SHA-256 of the secret: secrets are 32 random bytes, so nothing slower is needed.
    secret_hash bytea NOT NULL,
    scopes      text[] NOT NULL,
    label       text NOT NULL DEFAULT '',
    -- Set on keys that a deployment tool owns; the tool that set it may revoke them.
    managed_by  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);
CREATE INDEX api_keys_tenant ON api_keys (tenant_id);

-- One row a path: the head. Overwritten in place, so pages keep room for the new row version (HOT updates).
CREATE TABLE entries (
    tenant_id         uuid NOT NULL,
    agent_id          text COLLATE "C" NOT NULL,
    path              text COLLATE "C" NOT NULL,
    latest_version_id uuid NOT NULL,
    version           bigint NOT NULL,
    updated_at        timestamptz NOT NULL,
    expires_at        timestamptz,
    deleted_at        timestamptz,
    PRIMARY KEY (tenant_id, agent_id, path)
) WITH (fillfactor = 85);

-- Tree order: a directory's entries follow it at once. '/' becomes \x01\x01 and a literal \x01 becomes
-- \x01\x02, so '/' sorts below every other character, which byte order alone does not give ('-' < '/').
CREATE INDEX entries_tree ON entries
    (tenant_id, agent_id, (replace(replace(path, E'\x01', E'\x01\x02'), '/', E'\x01\x01')))
    WHERE deleted_at IS NULL;

-- Every version ever written. A row with deleted_at is a tombstone and has no value.
CREATE TABLE entry_versions (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    agent_id   text COLLATE "C" NOT NULL,
    path       text COLLATE "C" NOT NULL,
    version    bigint NOT NULL,
    -- json, not jsonb: the text that was checked on the way in comes out byte for byte.
    value      json,
    tags       text[] NOT NULL,
    importance real NOT NULL,
    searchable boolean NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK ((value IS NULL) = (deleted_at IS NOT NULL))
);
CREATE UNIQUE INDEX entry_versions_history ON entry_versions (tenant_id, agent_id, path, version);

-- Counted in the transaction of the write that it counts, so it is exact across replicas.
CREATE TABLE quota_usage (
    tenant_id    uuid NOT NULL,
    day          date NOT NULL,
    writes       bigint NOT NULL DEFAULT 0,
    bytes        bigint NOT NULL DEFAULT 0,
    embed_tokens bigint NOT NULL DEFAULT 0,
    searches     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, day)
) WITH (fillfactor = 50);
