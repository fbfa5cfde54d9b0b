-- Defence in depth: while a merchant is served, the session is `payments_merchant`, which sees and writes rows of the
-- merchant and mode that the transaction names, and none if it names nobody. A condition forgotten in a statement then
-- leaks nothing. `payments_app` itself still sees everything: the worker serves all, and so does the release before.
DO $$
BEGIN
    CREATE ROLE payments_merchant NOLOGIN;
EXCEPTION WHEN duplicate_object THEN NULL;
END
$$;
GRANT payments_merchant TO payments_app;
GRANT USAGE ON SCHEMA public TO payments_merchant;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'payments', 'operations', 'attempts', 'idempotency_keys', 'events', 'ledger_transfers', 'ledger_rollups',
        'disputes', 'payouts', 'api_keys', 'audit_log', 'webhook_endpoints', 'webhook_messages', 'webhook_deliveries'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY everything ON %I TO payments_app USING (true)', name);
        -- A setting that was never made, or made for an earlier transaction, is no merchant's id. Both comparisons are of
        -- the bare column, so that the planner estimates them, and knows them from the statement's own conditions.
        EXECUTE format(
            'CREATE POLICY of_one_merchant ON %I TO payments_merchant
                USING (merchant_id = current_setting(''app.merchant_id'', true)
                    AND livemode = (current_setting(''app.livemode'', true) = ''true''))', name);
    END LOOP;
END
$$;
ALTER TABLE merchants ENABLE ROW LEVEL SECURITY;
CREATE POLICY everything ON merchants TO payments_app USING (true);
CREATE POLICY of_one_merchant ON merchants TO payments_merchant
    USING (id = current_setting('app.merchant_id', true));

-- What serving a merchant takes, and no more.
GRANT SELECT ON merchants, ledger_rollups, cursors TO payments_merchant;
GRANT SELECT, INSERT ON events, ledger_transfers, webhook_deliveries TO payments_merchant;
GRANT SELECT, INSERT, UPDATE ON payments, operations, attempts, idempotency_keys, api_keys, webhook_endpoints,
    webhook_messages TO payments_merchant;
GRANT INSERT ON audit_log TO payments_merchant;
