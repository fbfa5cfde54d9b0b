-- C1: a payment as three functions, each a transaction of its own: Tx1, the sandbox's journal, Tx2. They write the rows
-- that the service writes (tests/benchmarks compares them), take the locks that it takes, and stay in the tenant's scope.
--
-- `suffix` is what a client would choose at random: 26 characters, unique to the payment, of which all identifiers and
-- the idempotency key are made.

CREATE FUNCTION frozen_scope(merchant text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('role', 'payments_merchant', true), set_config('app.merchant_id', merchant, true),
        set_config('app.livemode', 'false', true);
END
$$;

CREATE FUNCTION c1_begin(merchant text, suffix text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    claimed integer;
    hash bytea := sha256(suffix::bytea);
BEGIN
    PERFORM frozen_scope(merchant);
    INSERT INTO idempotency_keys
        (merchant_id, livemode, key_hash, fingerprint, request_id, payment_id, operation_id, lease_until)
    VALUES (merchant, false, hash, sha256('body'), 'req_' || suffix || '000000', 'pay_' || suffix, NULL,
        clock_timestamp() + interval '60 seconds')
    ON CONFLICT (merchant_id, livemode, key_hash) DO UPDATE SET fingerprint = EXCLUDED.fingerprint,
        request_id = EXCLUDED.request_id, lease_until = EXCLUDED.lease_until, payment_id = EXCLUDED.payment_id,
        operation_id = EXCLUDED.operation_id, response_status = NULL, response_body = NULL, expires_at = NULL,
        created_at = now()
    WHERE idempotency_keys.expires_at <= clock_timestamp();
    GET DIAGNOSTICS claimed = ROW_COUNT;
    IF claimed <> 1 THEN
        RAISE EXCEPTION 'the key of % is in use', suffix;
    END IF;
    INSERT INTO payments (merchant_id, livemode, id, status, amount, currency, capture_method, payment_method,
        reference, description, metadata, return_url, fee_basis_points, processor, api_version, created_at)
    SELECT merchant, false, 'pay_' || suffix, 'processing', 1250, 'USD', 'automatic', 'tok_visa',
        NULL, NULL, '{}', NULL, fee_basis_points, 'sandbox', '2026-11-01', clock_timestamp()
    FROM merchants WHERE id = merchant;
    INSERT INTO attempts (id, merchant_id, livemode, payment_id, operation_id, kind, processor,
        idempotency_key_hash, deadline_at, next_look_at)
    VALUES ('att_' || suffix, merchant, false, 'pay_' || suffix, NULL, 'payment', 'sandbox', hash,
        clock_timestamp() + interval '10 seconds', clock_timestamp() + interval '10 seconds');
END
$$;

CREATE FUNCTION c1_journal(suffix text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    decided text;
BEGIN
    INSERT INTO sandbox_journal (attempt_id, kind, reference, charge_reference, token, amount, currency, outcome,
        decline_code, settles_as, settles_at, action_token, return_url, automatic_capture)
    VALUES ('att_' || suffix, 'payment', 'sbx_ch_' || left(encode(sha256(suffix::bytea), 'hex'), 24), NULL, 'tok_visa',
        1250, 'USD', 'approved', NULL, NULL, NULL, NULL, NULL, true)
    ON CONFLICT (attempt_id) DO NOTHING;
    SELECT CASE WHEN outcome = 'pending' AND settles_at <= clock_timestamp() THEN settles_as ELSE outcome END
    INTO decided FROM sandbox_journal WHERE attempt_id = 'att_' || suffix;
    RETURN decided;
END
$$;

CREATE FUNCTION c1_settle(merchant text, suffix text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hash bytea := sha256(suffix::bytea);
    payment payments;
    body text;
    created bigint;
    fee bigint;
    charge text := 'sbx_ch_' || left(encode(hash, 'hex'), 24);
BEGIN
    PERFORM frozen_scope(merchant);
    PERFORM response_status FROM idempotency_keys
    WHERE merchant_id = merchant AND livemode = false AND key_hash = hash FOR NO KEY UPDATE;
    SELECT * INTO STRICT payment FROM payments
    WHERE merchant_id = merchant AND livemode = false AND id = 'pay_' || suffix FOR NO KEY UPDATE;
    PERFORM 1 FROM attempts WHERE id = 'att_' || suffix AND generation = 1 AND status = 'open' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt of % is settled', suffix;
    END IF;
    created := floor(extract(epoch FROM payment.created_at));
    fee := round(payment.amount * payment.fee_basis_points / 10000.0);
    body := format('{"id":"%s","object":"payment","status":"succeeded","amount":%s,"currency":"%s",'
        '"amount_authorized":%2$s,"amount_capturable":0,"amount_captured":%2$s,"amount_refunded":0,'
        '"amount_refund_pending":0,"payment_method":"%4$s","capture_method":"automatic","reference":null,'
        '"description":null,"metadata":{},"return_url":null,"pending_operation":null,"last_error":null,'
        '"next_action":null,"created":%5$s,"livemode":false}',
        payment.id, payment.amount, payment.currency, payment.payment_method, created);
    INSERT INTO ledger_transfers
        (id, merchant_id, livemode, currency, debit_account, credit_account, amount, kind, payment_id, attempt_id)
    VALUES ('tr_' || substr(suffix, 2) || 'a', merchant, false, payment.currency, 'processor_receivable',
        'merchant_payable', payment.amount, 'capture', payment.id, 'att_' || suffix);
    INSERT INTO ledger_transfers
        (id, merchant_id, livemode, currency, debit_account, credit_account, amount, kind, payment_id, attempt_id)
    VALUES ('tr_' || substr(suffix, 2) || 'b', merchant, false, payment.currency, 'merchant_payable',
        'platform_fees', fee, 'fee', payment.id, 'att_' || suffix);
    INSERT INTO events (id, merchant_id, livemode, type, payment_id, sequence, api_version, body)
    VALUES ('evt_' || suffix, merchant, false, 'payment.succeeded', payment.id, payment.event_sequence + 1,
        payment.api_version, format('{"id":"evt_%s","object":"event","type":"payment.succeeded","api_version":"%s",'
            '"created":%s,"livemode":false,"payment":"%s","sequence":%s,"data":{"object":%s}}',
            suffix, payment.api_version, floor(extract(epoch FROM now()))::bigint, payment.id,
            payment.event_sequence + 1, body));
    UPDATE payments SET status = 'succeeded', amount_authorized = payment.amount, amount_captured = payment.amount,
        amount_refunded = 0, amount_refund_pending = 0, pending_operation = NULL, last_error = NULL,
        next_action = NULL, processor_reference = charge, expires_at = NULL,
        event_sequence = payment.event_sequence + 1, updated_at = now()
    WHERE merchant_id = merchant AND livemode = false AND id = payment.id;
    UPDATE attempts SET status = 'settled', outcome = 'approved', evidence = 'sandbox journal', settled_at = now(),
        stuck_reason = NULL, processor_reference = coalesce(charge, processor_reference)
    WHERE id = 'att_' || suffix;
    UPDATE idempotency_keys SET response_status = 201, response_body = body,
        expires_at = clock_timestamp() + interval '3 days'
    WHERE merchant_id = merchant AND livemode = false AND key_hash = hash;
    RETURN body;
END
$$;
