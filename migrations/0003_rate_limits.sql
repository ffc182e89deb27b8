-- Requests of the minute, from which replicas lease shares. UNLOGGED: after a crash a minute begins anew, and no request
-- waits for a disk.

CREATE UNLOGGED TABLE rate_limits (
    -- What is limited, and whose it is: 'requests:<key id>', 'searches:<key id>'.
    bucket text COLLATE "C" PRIMARY KEY,
    -- The minute, in minutes since 1970.
    minute bigint NOT NULL,
    leased bigint NOT NULL
) WITH (fillfactor = 50);

UPDATE schema_version SET version = 3;
