-- In the order in which payments lock, so that no payment and this wait for each other. Nothing below reads a table.
LOCK TABLE payments, merchant_modes, ledger_transfers IN ACCESS EXCLUSIVE MODE;

-- A payment is inserted from its merchant's row, in a scope that lets nobody write another's; a merchant has both modes
-- from its first moment, and nobody may delete either. Each payment shared a lock on the one row of its merchant.
ALTER TABLE payments DROP CONSTRAINT payments_merchant_id_livemode_fkey;

-- A transfer refers to its attempt, and the attempt to the payment. That both name the same payment a foreign key on each
-- did not say; `ledger verify` does, and looks for the payment besides.
ALTER TABLE ledger_transfers DROP CONSTRAINT ledger_transfers_merchant_id_livemode_payment_id_fkey;

-- The transfers of a payment are those of its attempts, and found by UNIQUE (attempt_id, kind).
DROP INDEX ledger_transfers_by_payment;
