-- Payments that were taken long ago, %(first)s to %(last)s, as the service leaves them. It runs in replica mode, without triggers and
-- foreign keys, which these rows satisfy.
WITH old AS MATERIALIZED (
    SELECT n, '00' || lpad(n::text, 24, '0') AS suffix, sha256(n::text::bytea) AS hash,
        now() - (10000000 - n) * interval '1 second' AS at, key.merchant_id, key.api_version
    FROM generate_series(%(first)s::int, %(last)s::int) AS n, api_keys AS key WHERE key.id = 'key_bench'),
keys AS (
    INSERT INTO idempotency_keys (merchant_id, livemode, key_hash, fingerprint, request_id, payment_id, lease_until,
        response_status, response_body, created_at, expires_at)
    SELECT merchant_id, false, hash, hash, 'req_' || suffix || '000000', 'pay_' || suffix, at, 201, repeat('x', 450), at,
        now() + interval '3 days' FROM old),
paid AS (
    INSERT INTO payments (merchant_id, livemode, id, status, amount, currency, capture_method, payment_method,
        fee_basis_points, amount_authorized, amount_captured, processor, processor_reference, event_sequence,
        api_version, created_at, updated_at)
    SELECT merchant_id, false, 'pay_' || suffix, 'succeeded', 1250, 'USD', 'automatic', 'tok_visa', 290, 1250, 1250,
        'sandbox', 'sbx_ch_' || left(encode(hash, 'hex'), 24), 1, api_version, at, at FROM old),
tried AS (
    INSERT INTO attempts (id, merchant_id, livemode, payment_id, kind, processor, processor_reference, status,
        deadline_at, next_look_at, idempotency_key_hash, outcome, evidence, created_at, settled_at)
    SELECT 'att_' || suffix, merchant_id, false, 'pay_' || suffix, 'payment', 'sandbox',
        'sbx_ch_' || left(encode(hash, 'hex'), 24), 'settled', at, at, hash, 'approved', 'sandbox journal', at, at
    FROM old),
journal AS (
    INSERT INTO sandbox_journal (attempt_id, kind, reference, token, amount, currency, outcome, created_at,
        automatic_capture)
    SELECT 'att_' || suffix, 'payment', 'sbx_ch_' || left(encode(hash, 'hex'), 24), 'tok_visa', 1250, 'USD', 'approved',
        at, true FROM old),
posted AS (
    INSERT INTO ledger_transfers (id, merchant_id, livemode, currency, debit_account, credit_account, amount, kind,
        payment_id, attempt_id, created_at)
    SELECT 'tr_' || left(suffix, 1) || substr(suffix, 3) || posting, merchant_id, false, 'USD', debit, credit, amount,
        kind, 'pay_' || suffix, 'att_' || suffix, at
    FROM old, (VALUES ('1', 'processor_receivable', 'merchant_payable', 1250, 'capture'),
        ('2', 'merchant_payable', 'platform_fees', 36, 'fee')) AS p (posting, debit, credit, amount, kind))
INSERT INTO events (id, merchant_id, livemode, type, payment_id, sequence, api_version, body, created_at)
SELECT 'evt_' || suffix, merchant_id, false, 'payment.succeeded', 'pay_' || suffix, 1, api_version, repeat('x', 650), at
FROM old
