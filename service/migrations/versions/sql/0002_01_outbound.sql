-- Where a merchant wants to be told. Deleted ones keep their row, so that the log of deliveries stays readable.
CREATE TABLE webhook_endpoints (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    id text NOT NULL,
    url text NOT NULL,
    description text,
    -- Event types, or `*` for all.
    event_types text[] NOT NULL CHECK (cardinality(event_types) > 0),
    status text NOT NULL DEFAULT 'enabled' CHECK (status IN ('enabled', 'disabled')),
    -- Why it is disabled: the merchant wished it, the receiver answered 410, or nothing was delivered for days.
    disabled_reason text CHECK (disabled_reason IN ('requested', 'gone', 'failing')),
    api_version text NOT NULL,
    -- Signing needs the secrets themselves; they are encrypted at rest with the database and answered once.
    secret text NOT NULL,
    previous_secret text,
    previous_secret_until timestamptz,
    -- The first failure since the last delivery that was taken.
    failing_since timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    -- The delivery loop finds them by id alone.
    UNIQUE (id),
    PRIMARY KEY (merchant_id, livemode, id),
    FOREIGN KEY (merchant_id, livemode) REFERENCES merchant_modes,
    CHECK ((status = 'disabled') = (disabled_reason IS NOT NULL)),
    CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL))
);

-- One event for one endpoint, to be delivered until it is taken or the schedule is used up.
CREATE TABLE webhook_messages (
    -- UUIDv7: time-ordered, so that the key also serves a range partitioning by time.
    id text PRIMARY KEY,
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    endpoint_id text NOT NULL,
    event_id text NOT NULL REFERENCES events (id),
    -- `held`: the endpoint is disabled.
    status text NOT NULL CHECK (status IN ('pending', 'held', 'delivered', 'failed')),
    -- Failures since it was made or asked for again; the position in the schedule.
    attempts integer NOT NULL DEFAULT 0,
    -- While a worker delivers it, the end of that worker's lease.
    next_attempt_at timestamptz NOT NULL,
    -- Taking it over adds one, which fences the former holder.
    generation integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    UNIQUE (endpoint_id, event_id),
    FOREIGN KEY (merchant_id, livemode, endpoint_id) REFERENCES webhook_endpoints
);
CREATE INDEX webhook_messages_due ON webhook_messages (endpoint_id, next_attempt_at) WHERE status = 'pending';
CREATE INDEX webhook_messages_by_event ON webhook_messages (event_id);
CREATE INDEX webhook_messages_held ON webhook_messages (endpoint_id) WHERE status = 'held';
CREATE INDEX webhook_messages_settled ON webhook_messages (settled_at) WHERE settled_at IS NOT NULL;

-- The log of attempts; kept for 30 days.
CREATE TABLE webhook_deliveries (
    id text PRIMARY KEY,
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    endpoint_id text NOT NULL,
    message_id text NOT NULL,
    event_id text NOT NULL,
    event_type text NOT NULL,
    attempt integer NOT NULL,
    -- The receiver's HTTP status, or why there was none.
    status_code smallint,
    error text,
    duration_ms integer NOT NULL,
    created_at timestamptz NOT NULL,
    CHECK ((status_code IS NULL) = (error IS NOT NULL))
);
CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (merchant_id, livemode, endpoint_id, id);

GRANT SELECT, INSERT, UPDATE ON webhook_endpoints TO payments_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_messages TO payments_app;
GRANT SELECT, INSERT, DELETE ON webhook_deliveries TO payments_app;
