-- Domain events: what webhooks deliver and GET /events lists. Also the outbox: one row here per change, in the
-- transaction of the change; the worker fans it out to endpoints, reading in commit-safe order (xid, id) below
-- pg_snapshot_xmin(pg_current_snapshot()).
CREATE TABLE events (
    id text PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    type text NOT NULL,
    payment_id text NOT NULL,
    -- 1, 2, 3... within the payment.
    sequence integer NOT NULL CHECK (sequence > 0),
    api_version text NOT NULL,
    -- The JSON document exactly as it is listed and delivered, for ever.
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (merchant_id, livemode, payment_id, sequence),
    FOREIGN KEY (merchant_id, livemode, payment_id) REFERENCES payments
);
CREATE INDEX events_in_commit_order ON events (xid, id);
CREATE INDEX events_by_merchant ON events (merchant_id, livemode, xid, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- How far each reader of an append-only table has come.
CREATE TABLE cursors (
    name text PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT '0',
    id text NOT NULL DEFAULT '',
    moved_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO cursors (name) VALUES ('ledger_rollup'), ('outbox');

GRANT SELECT, INSERT ON events TO payments_app;
GRANT SELECT, UPDATE ON cursors TO payments_app;
