-- The inbox is a queue now. What came before this migration was dealt with by the previous release, except what it was
-- still trying to match. Constants and now() as defaults rewrite no table.
ALTER TABLE processor_inbox
    ADD COLUMN state text NOT NULL DEFAULT 'followed',
    ADD COLUMN looks integer NOT NULL DEFAULT 0,
    ADD COLUMN next_look_at timestamptz NOT NULL DEFAULT now(),
    -- Why it is still open, unmapped, or not ours.
    ADD COLUMN reason text;
ALTER TABLE processor_inbox
    ALTER COLUMN state SET DEFAULT 'open',
    ADD CONSTRAINT processor_inbox_state_check
        CHECK (state IN ('open', 'followed', 'not_ours', 'unmapped', 'resolved')) NOT VALID;
UPDATE processor_inbox SET state = 'open' WHERE handled_at IS NULL AND received_at > now() - interval '1 hour';
CREATE INDEX processor_inbox_due ON processor_inbox (processor, next_look_at) WHERE state = 'open';
CREATE INDEX processor_inbox_unmapped ON processor_inbox (received_at) WHERE state = 'unmapped';
-- A refused operation puts a look at the payment into the inbox, in the merchant's own transaction.
GRANT INSERT ON processor_inbox TO payments_merchant;

-- What a processor did on its own is booked like the outcome of an attempt, so it gets a row there: settled, with the
-- outcome `external`, which no worker of any release claims. A dispute is no operation of ours.
ALTER TABLE attempts
    DROP CONSTRAINT attempts_kind_check,
    DROP CONSTRAINT attempts_check,
    ADD CONSTRAINT attempts_kind_check CHECK (kind IN ('payment', 'capture', 'void', 'refund', 'dispute')) NOT VALID,
    ADD CONSTRAINT attempts_check CHECK ((kind IN ('payment', 'dispute')) = (operation_id IS NULL)) NOT VALID;

-- No release has written a dispute yet.
ALTER TABLE disputes
    DROP CONSTRAINT disputes_status_check,
    ADD CONSTRAINT disputes_status_check CHECK (status IN ('warning_needs_response', 'warning_under_review',
        'warning_closed', 'needs_response', 'under_review', 'won', 'lost', 'prevented')),
    -- Its transfers hang on this attempt, so that each kind of them is posted once.
    ADD COLUMN attempt_id text NOT NULL UNIQUE REFERENCES attempts (id),
    ADD COLUMN amount_withdrawn bigint NOT NULL DEFAULT 0 CHECK (amount_withdrawn >= 0),
    ADD COLUMN amount_returned bigint NOT NULL DEFAULT 0 CHECK (amount_returned BETWEEN 0 AND amount_withdrawn),
    -- Minor units of `fee_currency`, the currency of our account at the processor.
    ADD COLUMN fee bigint NOT NULL DEFAULT 0 CHECK (fee >= 0),
    ADD COLUMN fee_returned bigint NOT NULL DEFAULT 0 CHECK (fee_returned BETWEEN 0 AND fee),
    ADD COLUMN fee_currency text CHECK (fee_currency ~ '^[A-Z]{3}$');
CREATE INDEX disputes_by_payment ON disputes (merchant_id, livemode, payment_id);
GRANT SELECT, INSERT, UPDATE ON disputes TO payments_merchant;
