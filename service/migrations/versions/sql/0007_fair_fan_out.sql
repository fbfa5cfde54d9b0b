-- Merchants with events that the cursor `outbox` has passed and that are not fanned out yet: usually none, for long.
-- Each pass serves every one of them a little. The release before serves none: what it finds here waits for this one.
CREATE TABLE webhook_backlogs (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    -- The first event that is not fanned out, in commit order.
    next_xid xid8 NOT NULL,
    next_id text NOT NULL,
    -- When a pass last served it; null for a new one, which comes first.
    served_at timestamptz,
    PRIMARY KEY (merchant_id, livemode),
    FOREIGN KEY (merchant_id, livemode) REFERENCES merchant_modes
);
ALTER TABLE webhook_backlogs ENABLE ROW LEVEL SECURITY;
CREATE POLICY everything ON webhook_backlogs TO payments_app USING (true);
CREATE POLICY of_one_merchant ON webhook_backlogs TO payments_merchant
    USING (merchant_id = current_setting('app.merchant_id', true)
        AND livemode = (current_setting('app.livemode', true) = 'true'));
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_backlogs TO payments_app;
