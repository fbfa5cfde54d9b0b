CREATE TABLE merchants (
    id text PRIMARY KEY,
    name text NOT NULL,
    -- Share of a captured amount that is the platform's, in hundredths of a per cent.
    fee_basis_points integer NOT NULL DEFAULT 290 CHECK (fee_basis_points BETWEEN 0 AND 10000),
    created_at timestamptz NOT NULL DEFAULT now()
);
-- A merchant exists once per mode; everything below refers to (merchant, livemode), so that no row can cross over.
CREATE TABLE merchant_modes (
    merchant_id text NOT NULL REFERENCES merchants (id),
    livemode boolean NOT NULL,
    PRIMARY KEY (merchant_id, livemode)
);
CREATE FUNCTION add_merchant_modes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO merchant_modes VALUES (NEW.id, false), (NEW.id, true);
    RETURN NULL;
END
$$;
CREATE TRIGGER add_merchant_modes AFTER INSERT ON merchants FOR EACH ROW EXECUTE FUNCTION add_merchant_modes();

CREATE TABLE api_keys (
    id text PRIMARY KEY,
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    name text NOT NULL DEFAULT '',
    secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
    scopes text[] NOT NULL,
    api_version text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    replaced_by text REFERENCES api_keys (id),
    FOREIGN KEY (merchant_id, livemode) REFERENCES merchant_modes
);
CREATE INDEX api_keys_by_merchant ON api_keys (merchant_id, livemode, id DESC);
CREATE INDEX api_keys_replaced_by ON api_keys (replaced_by) WHERE replaced_by IS NOT NULL;

-- Every administrative act: who did what to which object.
CREATE TABLE audit_log (
    id text PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    -- An API key's id, `cli:<operating system user>`, or `migrate`.
    actor text NOT NULL,
    action text NOT NULL,
    merchant_id text,
    livemode boolean,
    subject text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT ON merchants, audit_log TO payments_app;
GRANT SELECT, INSERT ON merchant_modes TO payments_app;
GRANT SELECT, INSERT, UPDATE ON api_keys TO payments_app;
