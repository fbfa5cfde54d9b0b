-- Double entry: one row moves one amount from one account to another, so that debits equal credits by construction.
CREATE TABLE ledger_transfers (
    id text PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    debit_account text NOT NULL CHECK (debit_account IN ('processor_receivable', 'merchant_payable', 'platform_fees',
        'processor_fees', 'cash', 'disputes', 'suspense')),
    credit_account text NOT NULL CHECK (credit_account IN ('processor_receivable', 'merchant_payable', 'platform_fees',
        'processor_fees', 'cash', 'disputes', 'suspense')),
    amount bigint NOT NULL CHECK (amount > 0),
    kind text NOT NULL,
    payment_id text NOT NULL,
    -- The attempt whose outcome it books: an outcome is booked once.
    attempt_id text NOT NULL REFERENCES attempts (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (debit_account <> credit_account),
    UNIQUE (attempt_id, kind),
    FOREIGN KEY (merchant_id, livemode, payment_id) REFERENCES payments
);
CREATE INDEX ledger_transfers_in_commit_order ON ledger_transfers (xid, id);
CREATE INDEX ledger_transfers_by_merchant ON ledger_transfers (merchant_id, livemode, xid, id);
CREATE INDEX ledger_transfers_by_payment ON ledger_transfers (merchant_id, livemode, payment_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Sums up to the cursor `ledger_rollup`; a balance is this plus the tail, in one snapshot.
CREATE TABLE ledger_rollups (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    currency text NOT NULL,
    account text NOT NULL,
    debits numeric(30) NOT NULL,
    credits numeric(30) NOT NULL,
    PRIMARY KEY (merchant_id, livemode, currency, account)
);

-- The chain that makes a later change of a transfer visible. Each head is also written to the log.
CREATE TABLE ledger_seals (
    number bigint PRIMARY KEY CHECK (number > 0),
    upto_xid xid8 NOT NULL,
    upto_id text NOT NULL,
    transfers integer NOT NULL CHECK (transfers > 0),
    previous_hash bytea NOT NULL CHECK (length(previous_hash) = 32),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_seals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Laid out now because later is expensive: money that moves outside of payments.
CREATE TABLE disputes (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    id text NOT NULL,
    payment_id text NOT NULL,
    status text NOT NULL CHECK (status IN ('needs_response', 'under_review', 'won', 'lost')),
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    reason text,
    processor text NOT NULL,
    processor_reference text NOT NULL,
    respond_by timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, livemode, id),
    UNIQUE (processor, livemode, processor_reference),
    FOREIGN KEY (merchant_id, livemode, payment_id) REFERENCES payments
);
CREATE TABLE payouts (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    id text NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'paid', 'failed')),
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    processor text NOT NULL,
    processor_reference text,
    created_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    PRIMARY KEY (merchant_id, livemode, id),
    UNIQUE (processor, livemode, processor_reference),
    FOREIGN KEY (merchant_id, livemode) REFERENCES merchant_modes
);
-- Lines of a processor's report, as imported by `payments reconcile`.
CREATE TABLE settlement_lines (
    processor text NOT NULL,
    livemode boolean NOT NULL,
    report text NOT NULL,
    line integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('charge', 'refund')),
    processor_reference text NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    fee bigint NOT NULL DEFAULT 0,
    settled_on date NOT NULL,
    imported_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (processor, livemode, report, line)
);
CREATE INDEX settlement_lines_by_reference ON settlement_lines (processor, livemode, kind, processor_reference);

GRANT SELECT, INSERT ON ledger_transfers, ledger_seals, settlement_lines TO payments_app;
GRANT SELECT, INSERT, UPDATE ON ledger_rollups, disputes, payouts TO payments_app;
