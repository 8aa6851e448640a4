-- Locks and limits without Redis, which backend holds a class of locks, and what operators override.
-- All times are this database's; small rows that are rewritten often, hence the free space in each page.

CREATE TABLE distributed_locks (
    -- Bytewise order: whoever locks several rows does it in this order.
    lock_key text COLLATE "C" PRIMARY KEY,
    -- The token of one acquisition; all zero when nobody holds it.
    owner uuid NOT NULL,
    -- Grows with every grant of a fenced key, whose row stays for days after its release.
    fence bigint,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- For operators: who it is, e.g. conversations@host/123.
    holder text NOT NULL DEFAULT '',
    -- A release before this moment notifies: somebody may be waiting.
    waiting_until timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200);

CREATE TABLE rate_limits (
    limit_key text COLLATE "C" PRIMARY KEY,
    -- An exact limit's admissions that still count, oldest first: when (us), and of which unit.
    admitted_us bigint[] NOT NULL DEFAULT '{}',
    units uuid[] NOT NULL DEFAULT '{}',
    -- A paced limit: when its debt is paid (us).
    paid_us bigint NOT NULL DEFAULT 0,
    -- After this nothing in the row counts.
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200);

-- Which backend grants a class of locks. No row: Redis, since ever.
CREATE TABLE coordination_backends (
    class text PRIMARY KEY,
    backend text NOT NULL,
    epoch bigint NOT NULL,
    -- Set after the flip committed; null in between.
    since timestamptz,
    -- When a process last could not reach Redis: no way back for a while.
    redis_away_at timestamptz,
    CONSTRAINT coordination_backend CHECK (backend IN ('redis', 'postgres'))
) WITH (fillfactor = 50);

-- What operators changed at run time; every process reads it every few seconds.
CREATE TABLE coordination_overrides (
    kind text NOT NULL,
    -- The registry's name.
    name text NOT NULL,
    -- One limit's ids; empty: all of that name.
    key text NOT NULL DEFAULT '',
    mode text,
    most integer,
    expires_at timestamptz,
    reason text NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (kind, name, key),
    CONSTRAINT coordination_override_kind CHECK (kind IN ('lock', 'limit')),
    CONSTRAINT coordination_override_mode CHECK (mode IN ('off', 'observe', 'enforce')),
    CONSTRAINT coordination_override_most CHECK (most > 0),
    CONSTRAINT coordination_override_says CHECK (mode IS NOT NULL OR most IS NOT NULL)
);
