CREATE TABLE payments (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    -- UUIDv7: time-ordered, so that the key also serves "newest first" and a range partitioning by time.
    id text NOT NULL,
    status text NOT NULL CHECK (status IN (
        'processing', 'requires_action', 'requires_capture', 'partially_captured', 'succeeded', 'failed', 'canceled')),
    amount bigint NOT NULL CHECK (amount BETWEEN 1 AND 999999999999),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    capture_method text NOT NULL CHECK (capture_method IN ('automatic', 'manual')),
    payment_method text NOT NULL,
    reference text,
    description text,
    metadata jsonb NOT NULL DEFAULT '{}',
    return_url text,
    -- Agreed when the payment was made; the merchant's rate may change later.
    fee_basis_points integer NOT NULL CHECK (fee_basis_points BETWEEN 0 AND 10000),
    amount_authorized bigint NOT NULL DEFAULT 0 CHECK (amount_authorized IN (0, amount)),
    amount_captured bigint NOT NULL DEFAULT 0 CHECK (amount_captured BETWEEN 0 AND amount_authorized),
    amount_refunded bigint NOT NULL DEFAULT 0 CHECK (amount_refunded >= 0),
    amount_refund_pending bigint NOT NULL DEFAULT 0 CHECK (amount_refund_pending >= 0),
    pending_operation text CHECK (pending_operation IN ('capture', 'void')),
    last_error jsonb,
    next_action jsonb,
    processor text NOT NULL,
    processor_reference text,
    -- When a wait ends by itself: 24 hours for requires_action, the authorization's life for the two capturable states.
    expires_at timestamptz,
    -- Sequence of the latest event: events of a payment are numbered 1, 2, 3... under the row lock.
    event_sequence integer NOT NULL DEFAULT 0,
    api_version text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, livemode, id),
    FOREIGN KEY (merchant_id, livemode) REFERENCES merchant_modes,
    CHECK (amount_refunded + amount_refund_pending <= amount_captured)
);
CREATE INDEX payments_by_status ON payments (merchant_id, livemode, status, id);
CREATE INDEX payments_by_reference ON payments (merchant_id, livemode, reference, id) WHERE reference IS NOT NULL;
CREATE INDEX payments_expiring ON payments (expires_at) WHERE expires_at IS NOT NULL;

-- Captures, voids and refunds. A refund's row is the refund object of the API.
CREATE TABLE operations (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    id text NOT NULL,
    payment_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('capture', 'void', 'refund')),
    status text NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    -- Of a void: what it releases.
    amount bigint NOT NULL CHECK (amount BETWEEN 0 AND 999999999999),
    final boolean NOT NULL DEFAULT true,
    reason text,
    error jsonb,
    processor_reference text,
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    PRIMARY KEY (merchant_id, livemode, id),
    FOREIGN KEY (merchant_id, livemode, payment_id) REFERENCES payments
);
CREATE INDEX operations_by_payment ON operations (merchant_id, livemode, payment_id, kind, id);
-- Several refunds may be in flight, but one capture or void.
CREATE UNIQUE INDEX operations_one_in_flight ON operations (merchant_id, livemode, payment_id)
    WHERE status = 'pending' AND kind IN ('capture', 'void');

-- What was, or may have been, sent to a processor. The id is the processor's idempotency key, for life.
CREATE TABLE attempts (
    id text PRIMARY KEY,
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    payment_id text NOT NULL,
    operation_id text,
    kind text NOT NULL CHECK (kind IN ('payment', 'capture', 'void', 'refund')),
    processor text NOT NULL,
    -- The processor's own id of what the attempt made, as soon as it is known.
    processor_reference text,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'settled')),
    -- Who holds the attempt may settle it; taking it over adds one, which fences the former holder.
    generation integer NOT NULL DEFAULT 1,
    -- Nobody sends after this.
    deadline_at timestamptz NOT NULL,
    -- When the worker looks next. While an api process holds the attempt this is its deadline.
    next_look_at timestamptz NOT NULL,
    looks integer NOT NULL DEFAULT 0,
    -- Why the worker cannot settle it alone; a person must (`payments stuck`).
    stuck_reason text,
    idempotency_key_hash bytea,
    -- The latest outcome that was recorded; NULL until the first, which is the one that is announced by an event.
    outcome text,
    evidence text,
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    FOREIGN KEY (merchant_id, livemode, payment_id) REFERENCES payments,
    FOREIGN KEY (merchant_id, livemode, operation_id) REFERENCES operations,
    CHECK ((kind = 'payment') = (operation_id IS NULL))
);
CREATE INDEX attempts_due ON attempts (next_look_at) WHERE status = 'open';
CREATE INDEX attempts_by_payment ON attempts (merchant_id, livemode, payment_id);
CREATE UNIQUE INDEX attempts_reference ON attempts (processor, livemode, kind, processor_reference)
    WHERE processor_reference IS NOT NULL AND kind IN ('payment', 'refund');

CREATE TABLE idempotency_keys (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    key_hash bytea NOT NULL CHECK (length(key_hash) = 32),
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
    request_id text NOT NULL,
    -- What an unresolved key stands for.
    payment_id text,
    operation_id text,
    lease_until timestamptz NOT NULL,
    response_status smallint,
    response_body text,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Set with the final answer; unresolved keys do not expire.
    expires_at timestamptz,
    PRIMARY KEY (merchant_id, livemode, key_hash),
    CHECK ((response_status IS NULL) = (response_body IS NULL) AND (response_status IS NULL) = (expires_at IS NULL))
);
CREATE INDEX idempotency_keys_expiring ON idempotency_keys (expires_at) WHERE expires_at IS NOT NULL;

GRANT SELECT, INSERT, UPDATE ON payments, operations, attempts TO payments_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO payments_app;
