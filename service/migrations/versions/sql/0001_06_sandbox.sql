-- The sandbox processor's own books, written on its own connection: what it did is known even when its answer is lost.
CREATE TABLE sandbox_journal (
    -- The idempotency key of the caller: the same attempt is done once.
    attempt_id text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('payment', 'capture', 'void', 'refund')),
    reference text NOT NULL UNIQUE,
    -- The charge that a capture, void or refund is about.
    charge_reference text,
    token text NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    outcome text NOT NULL,
    decline_code text,
    -- A pending outcome becomes this then.
    settles_as text,
    settles_at timestamptz,
    -- In the address of the 3-D Secure page; good for one decision.
    action_token text UNIQUE,
    return_url text,
    created_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE ON sandbox_journal TO payments_app;
