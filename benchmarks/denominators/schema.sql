-- The schema at migration 0008, as `pg_dump --schema-only` prints it. Frozen: the denominators must not move with the
-- service, so this file does not change when the schema does. Its roles are in roles.sql.
--
-- PostgreSQL database dump
--

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: public; Type: SCHEMA; Schema: -; Owner: payments_owner
--

-- *not* creating schema, since initdb creates it

ALTER SCHEMA public OWNER TO payments_owner;

--
-- Name: add_merchant_modes(); Type: FUNCTION; Schema: public; Owner: payments_owner
--

CREATE FUNCTION public.add_merchant_modes() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO merchant_modes VALUES (NEW.id, false), (NEW.id, true);
    RETURN NULL;
END
$$;

ALTER FUNCTION public.add_merchant_modes() OWNER TO payments_owner;

--
-- Name: refuse_change(); Type: FUNCTION; Schema: public; Owner: payments_owner
--

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'Correct by appending a row that reverses the wrong one.';
END
$$;

ALTER FUNCTION public.refuse_change() OWNER TO payments_owner;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: alembic_version; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);

ALTER TABLE public.alembic_version OWNER TO payments_owner;

--
-- Name: api_keys; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.api_keys (
    id text NOT NULL,
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    secret_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    api_version text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone,
    replaced_by text,
    CONSTRAINT api_keys_secret_hash_check CHECK ((length(secret_hash) = 32))
);

ALTER TABLE public.api_keys OWNER TO payments_owner;

--
-- Name: attempts; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.attempts (
    id text NOT NULL,
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    payment_id text NOT NULL,
    operation_id text,
    kind text NOT NULL,
    processor text NOT NULL,
    processor_reference text,
    status text DEFAULT 'open'::text NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    deadline_at timestamp with time zone NOT NULL,
    next_look_at timestamp with time zone NOT NULL,
    looks integer DEFAULT 0 NOT NULL,
    stuck_reason text,
    idempotency_key_hash bytea,
    outcome text,
    evidence text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    settled_at timestamp with time zone,
    CONSTRAINT attempts_status_check CHECK ((status = ANY (ARRAY['open'::text, 'settled'::text])))
);

ALTER TABLE public.attempts OWNER TO payments_owner;

--
-- Name: audit_log; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.audit_log (
    id text NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    merchant_id text,
    livemode boolean,
    subject text NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.audit_log OWNER TO payments_owner;

--
-- Name: cursors; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.cursors (
    name text NOT NULL,
    xid xid8 DEFAULT '0'::xid8 NOT NULL,
    id text DEFAULT ''::text NOT NULL,
    moved_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.cursors OWNER TO payments_owner;

--
-- Name: disputes; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.disputes (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    id text NOT NULL,
    payment_id text NOT NULL,
    status text NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    reason text,
    processor text NOT NULL,
    processor_reference text NOT NULL,
    respond_by timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    attempt_id text NOT NULL,
    amount_withdrawn bigint DEFAULT 0 NOT NULL,
    amount_returned bigint DEFAULT 0 NOT NULL,
    fee bigint DEFAULT 0 NOT NULL,
    fee_returned bigint DEFAULT 0 NOT NULL,
    fee_currency text,
    CONSTRAINT disputes_amount_check CHECK ((amount > 0)),
    CONSTRAINT disputes_amount_withdrawn_check CHECK ((amount_withdrawn >= 0)),
    CONSTRAINT disputes_check CHECK (((amount_returned >= 0) AND (amount_returned <= amount_withdrawn))),
    CONSTRAINT disputes_check1 CHECK (((fee_returned >= 0) AND (fee_returned <= fee))),
    CONSTRAINT disputes_fee_check CHECK ((fee >= 0)),
    CONSTRAINT disputes_fee_currency_check CHECK ((fee_currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT disputes_status_check CHECK ((status = ANY (ARRAY['warning_needs_response'::text, 'warning_under_review'::text, 'warning_closed'::text, 'needs_response'::text, 'under_review'::text, 'won'::text, 'lost'::text, 'prevented'::text])))
);

ALTER TABLE public.disputes OWNER TO payments_owner;

--
-- Name: events; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.events (
    id text NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    type text NOT NULL,
    payment_id text NOT NULL,
    sequence integer NOT NULL,
    api_version text NOT NULL,
    body text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT events_sequence_check CHECK ((sequence > 0))
);

ALTER TABLE public.events OWNER TO payments_owner;

--
-- Name: idempotency_keys; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.idempotency_keys (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    key_hash bytea NOT NULL,
    fingerprint bytea NOT NULL,
    request_id text NOT NULL,
    payment_id text,
    operation_id text,
    lease_until timestamp with time zone NOT NULL,
    response_status smallint,
    response_body text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    CONSTRAINT idempotency_keys_check CHECK ((((response_status IS NULL) = (response_body IS NULL)) AND ((response_status IS NULL) = (expires_at IS NULL)))),
    CONSTRAINT idempotency_keys_fingerprint_check CHECK ((length(fingerprint) = 32)),
    CONSTRAINT idempotency_keys_key_hash_check CHECK ((length(key_hash) = 32))
);

ALTER TABLE public.idempotency_keys OWNER TO payments_owner;

--
-- Name: ledger_rollups; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.ledger_rollups (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    currency text NOT NULL,
    account text NOT NULL,
    debits numeric(30,0) NOT NULL,
    credits numeric(30,0) NOT NULL
);

ALTER TABLE public.ledger_rollups OWNER TO payments_owner;

--
-- Name: ledger_seals; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.ledger_seals (
    number bigint NOT NULL,
    upto_xid xid8 NOT NULL,
    upto_id text NOT NULL,
    transfers integer NOT NULL,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ledger_seals_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT ledger_seals_number_check CHECK ((number > 0)),
    CONSTRAINT ledger_seals_previous_hash_check CHECK ((length(previous_hash) = 32)),
    CONSTRAINT ledger_seals_transfers_check CHECK ((transfers > 0))
);

ALTER TABLE public.ledger_seals OWNER TO payments_owner;

--
-- Name: ledger_transfers; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.ledger_transfers (
    id text NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    currency text NOT NULL,
    debit_account text NOT NULL,
    credit_account text NOT NULL,
    amount bigint NOT NULL,
    kind text NOT NULL,
    payment_id text NOT NULL,
    attempt_id text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ledger_transfers_amount_check CHECK ((amount > 0)),
    CONSTRAINT ledger_transfers_check CHECK ((debit_account <> credit_account)),
    CONSTRAINT ledger_transfers_credit_account_check CHECK ((credit_account = ANY (ARRAY['processor_receivable'::text, 'merchant_payable'::text, 'platform_fees'::text, 'processor_fees'::text, 'cash'::text, 'disputes'::text, 'suspense'::text]))),
    CONSTRAINT ledger_transfers_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT ledger_transfers_debit_account_check CHECK ((debit_account = ANY (ARRAY['processor_receivable'::text, 'merchant_payable'::text, 'platform_fees'::text, 'processor_fees'::text, 'cash'::text, 'disputes'::text, 'suspense'::text])))
);

ALTER TABLE public.ledger_transfers OWNER TO payments_owner;

--
-- Name: merchant_modes; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.merchant_modes (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL
);

ALTER TABLE public.merchant_modes OWNER TO payments_owner;

--
-- Name: merchants; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.merchants (
    id text NOT NULL,
    name text NOT NULL,
    fee_basis_points integer DEFAULT 290 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT merchants_fee_basis_points_check CHECK (((fee_basis_points >= 0) AND (fee_basis_points <= 10000)))
);

ALTER TABLE public.merchants OWNER TO payments_owner;

--
-- Name: operations; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.operations (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    id text NOT NULL,
    payment_id text NOT NULL,
    kind text NOT NULL,
    status text NOT NULL,
    amount bigint NOT NULL,
    final boolean DEFAULT true NOT NULL,
    reason text,
    error jsonb,
    processor_reference text,
    created_at timestamp with time zone NOT NULL,
    settled_at timestamp with time zone,
    CONSTRAINT operations_amount_check CHECK (((amount >= 0) AND (amount <= '999999999999'::bigint))),
    CONSTRAINT operations_kind_check CHECK ((kind = ANY (ARRAY['capture'::text, 'void'::text, 'refund'::text]))),
    CONSTRAINT operations_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'succeeded'::text, 'failed'::text])))
);

ALTER TABLE public.operations OWNER TO payments_owner;

--
-- Name: payments; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.payments (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    id text NOT NULL,
    status text NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    capture_method text NOT NULL,
    payment_method text NOT NULL,
    reference text,
    description text,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    return_url text,
    fee_basis_points integer NOT NULL,
    amount_authorized bigint DEFAULT 0 NOT NULL,
    amount_captured bigint DEFAULT 0 NOT NULL,
    amount_refunded bigint DEFAULT 0 NOT NULL,
    amount_refund_pending bigint DEFAULT 0 NOT NULL,
    pending_operation text,
    last_error jsonb,
    next_action jsonb,
    processor text NOT NULL,
    processor_reference text,
    expires_at timestamp with time zone,
    event_sequence integer DEFAULT 0 NOT NULL,
    api_version text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT payments_amount_check CHECK (((amount >= 1) AND (amount <= '999999999999'::bigint))),
    CONSTRAINT payments_amount_refund_pending_check CHECK ((amount_refund_pending >= 0)),
    CONSTRAINT payments_amount_refunded_check CHECK ((amount_refunded >= 0)),
    CONSTRAINT payments_capture_method_check CHECK ((capture_method = ANY (ARRAY['automatic'::text, 'manual'::text]))),
    CONSTRAINT payments_check CHECK (((amount_authorized = 0) OR (amount_authorized = amount))),
    CONSTRAINT payments_check1 CHECK (((amount_captured >= 0) AND (amount_captured <= amount_authorized))),
    CONSTRAINT payments_check2 CHECK (((amount_refunded + amount_refund_pending) <= amount_captured)),
    CONSTRAINT payments_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT payments_fee_basis_points_check CHECK (((fee_basis_points >= 0) AND (fee_basis_points <= 10000))),
    CONSTRAINT payments_pending_operation_check CHECK ((pending_operation = ANY (ARRAY['capture'::text, 'void'::text]))),
    CONSTRAINT payments_status_check CHECK ((status = ANY (ARRAY['processing'::text, 'requires_action'::text, 'requires_capture'::text, 'partially_captured'::text, 'succeeded'::text, 'failed'::text, 'canceled'::text])))
);

ALTER TABLE public.payments OWNER TO payments_owner;

--
-- Name: payouts; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.payouts (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    id text NOT NULL,
    status text NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    processor text NOT NULL,
    processor_reference text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    settled_at timestamp with time zone,
    CONSTRAINT payouts_amount_check CHECK ((amount > 0)),
    CONSTRAINT payouts_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'paid'::text, 'failed'::text])))
);

ALTER TABLE public.payouts OWNER TO payments_owner;

--
-- Name: processor_inbox; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.processor_inbox (
    processor text NOT NULL,
    event_id text NOT NULL,
    livemode boolean NOT NULL,
    type text NOT NULL,
    processor_references text[] NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    handled_at timestamp with time zone,
    state text DEFAULT 'open'::text NOT NULL,
    looks integer DEFAULT 0 NOT NULL,
    next_look_at timestamp with time zone DEFAULT now() NOT NULL,
    reason text
);

ALTER TABLE public.processor_inbox OWNER TO payments_owner;

--
-- Name: sandbox_journal; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.sandbox_journal (
    attempt_id text NOT NULL,
    kind text NOT NULL,
    reference text NOT NULL,
    charge_reference text,
    token text NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    outcome text NOT NULL,
    decline_code text,
    settles_as text,
    settles_at timestamp with time zone,
    action_token text,
    return_url text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    automatic_capture boolean,
    CONSTRAINT sandbox_journal_kind_check CHECK ((kind = ANY (ARRAY['payment'::text, 'capture'::text, 'void'::text, 'refund'::text])))
);

ALTER TABLE public.sandbox_journal OWNER TO payments_owner;

--
-- Name: settlement_lines; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.settlement_lines (
    processor text NOT NULL,
    livemode boolean NOT NULL,
    report text NOT NULL,
    line integer NOT NULL,
    kind text NOT NULL,
    processor_reference text NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    fee bigint DEFAULT 0 NOT NULL,
    settled_on date NOT NULL,
    imported_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT settlement_lines_kind_check CHECK ((kind = ANY (ARRAY['charge'::text, 'refund'::text])))
);

ALTER TABLE public.settlement_lines OWNER TO payments_owner;

--
-- Name: webhook_backlogs; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.webhook_backlogs (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    next_xid xid8 NOT NULL,
    next_id text NOT NULL,
    served_at timestamp with time zone
);

ALTER TABLE public.webhook_backlogs OWNER TO payments_owner;

--
-- Name: webhook_deliveries; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.webhook_deliveries (
    id text NOT NULL,
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    endpoint_id text NOT NULL,
    message_id text NOT NULL,
    event_id text NOT NULL,
    event_type text NOT NULL,
    attempt integer NOT NULL,
    status_code smallint,
    error text,
    duration_ms integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT webhook_deliveries_check CHECK (((status_code IS NULL) = (error IS NOT NULL)))
);

ALTER TABLE public.webhook_deliveries OWNER TO payments_owner;

--
-- Name: webhook_endpoints; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.webhook_endpoints (
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    id text NOT NULL,
    url text NOT NULL,
    description text,
    event_types text[] NOT NULL,
    status text DEFAULT 'enabled'::text NOT NULL,
    disabled_reason text,
    api_version text NOT NULL,
    secret text NOT NULL,
    previous_secret text,
    previous_secret_until timestamp with time zone,
    failing_since timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT webhook_endpoints_check CHECK (((status = 'disabled'::text) = (disabled_reason IS NOT NULL))),
    CONSTRAINT webhook_endpoints_check1 CHECK (((previous_secret IS NULL) = (previous_secret_until IS NULL))),
    CONSTRAINT webhook_endpoints_disabled_reason_check CHECK ((disabled_reason = ANY (ARRAY['requested'::text, 'gone'::text, 'failing'::text]))),
    CONSTRAINT webhook_endpoints_event_types_check CHECK ((cardinality(event_types) > 0)),
    CONSTRAINT webhook_endpoints_status_check CHECK ((status = ANY (ARRAY['enabled'::text, 'disabled'::text])))
);

ALTER TABLE public.webhook_endpoints OWNER TO payments_owner;

--
-- Name: webhook_messages; Type: TABLE; Schema: public; Owner: payments_owner
--

CREATE TABLE public.webhook_messages (
    id text NOT NULL,
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    endpoint_id text NOT NULL,
    event_id text NOT NULL,
    status text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    settled_at timestamp with time zone,
    CONSTRAINT webhook_messages_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'held'::text, 'delivered'::text, 'failed'::text])))
);

ALTER TABLE public.webhook_messages OWNER TO payments_owner;

--
-- Name: alembic_version alembic_version_pkc; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

--
-- Name: api_keys api_keys_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);

--
-- Name: attempts attempts_check; Type: CHECK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE public.attempts
    ADD CONSTRAINT attempts_check CHECK (((kind = ANY (ARRAY['payment'::text, 'dispute'::text])) = (operation_id IS NULL))) NOT VALID;

--
-- Name: attempts attempts_kind_check; Type: CHECK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE public.attempts
    ADD CONSTRAINT attempts_kind_check CHECK ((kind = ANY (ARRAY['payment'::text, 'capture'::text, 'void'::text, 'refund'::text, 'dispute'::text]))) NOT VALID;

--
-- Name: attempts attempts_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (id);

--
-- Name: audit_log audit_log_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (id);

--
-- Name: cursors cursors_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.cursors
    ADD CONSTRAINT cursors_pkey PRIMARY KEY (name);

--
-- Name: disputes disputes_attempt_id_key; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.disputes
    ADD CONSTRAINT disputes_attempt_id_key UNIQUE (attempt_id);

--
-- Name: disputes disputes_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.disputes
    ADD CONSTRAINT disputes_pkey PRIMARY KEY (merchant_id, livemode, id);

--
-- Name: disputes disputes_processor_livemode_processor_reference_key; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.disputes
    ADD CONSTRAINT disputes_processor_livemode_processor_reference_key UNIQUE (processor, livemode, processor_reference);

--
-- Name: events events_merchant_id_livemode_payment_id_sequence_key; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_merchant_id_livemode_payment_id_sequence_key UNIQUE (merchant_id, livemode, payment_id, sequence);

--
-- Name: events events_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);

--
-- Name: idempotency_keys idempotency_keys_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (merchant_id, livemode, key_hash);

--
-- Name: ledger_rollups ledger_rollups_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.ledger_rollups
    ADD CONSTRAINT ledger_rollups_pkey PRIMARY KEY (merchant_id, livemode, currency, account);

--
-- Name: ledger_seals ledger_seals_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.ledger_seals
    ADD CONSTRAINT ledger_seals_pkey PRIMARY KEY (number);

--
-- Name: ledger_transfers ledger_transfers_attempt_id_kind_key; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.ledger_transfers
    ADD CONSTRAINT ledger_transfers_attempt_id_kind_key UNIQUE (attempt_id, kind);

--
-- Name: ledger_transfers ledger_transfers_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.ledger_transfers
    ADD CONSTRAINT ledger_transfers_pkey PRIMARY KEY (id);

--
-- Name: merchant_modes merchant_modes_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.merchant_modes
    ADD CONSTRAINT merchant_modes_pkey PRIMARY KEY (merchant_id, livemode);

--
-- Name: merchants merchants_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.merchants
    ADD CONSTRAINT merchants_pkey PRIMARY KEY (id);

--
-- Name: operations operations_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.operations
    ADD CONSTRAINT operations_pkey PRIMARY KEY (merchant_id, livemode, id);

--
-- Name: payments payments_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_pkey PRIMARY KEY (merchant_id, livemode, id);

--
-- Name: payouts payouts_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_pkey PRIMARY KEY (merchant_id, livemode, id);

--
-- Name: payouts payouts_processor_livemode_processor_reference_key; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_processor_livemode_processor_reference_key UNIQUE (processor, livemode, processor_reference);

--
-- Name: processor_inbox processor_inbox_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.processor_inbox
    ADD CONSTRAINT processor_inbox_pkey PRIMARY KEY (processor, event_id);

--
-- Name: processor_inbox processor_inbox_state_check; Type: CHECK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE public.processor_inbox
    ADD CONSTRAINT processor_inbox_state_check CHECK ((state = ANY (ARRAY['open'::text, 'followed'::text, 'not_ours'::text, 'unmapped'::text, 'resolved'::text]))) NOT VALID;

--
-- Name: sandbox_journal sandbox_journal_action_token_key; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.sandbox_journal
    ADD CONSTRAINT sandbox_journal_action_token_key UNIQUE (action_token);

--
-- Name: sandbox_journal sandbox_journal_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.sandbox_journal
    ADD CONSTRAINT sandbox_journal_pkey PRIMARY KEY (attempt_id);

--
-- Name: sandbox_journal sandbox_journal_reference_key; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.sandbox_journal
    ADD CONSTRAINT sandbox_journal_reference_key UNIQUE (reference);

--
-- Name: settlement_lines settlement_lines_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.settlement_lines
    ADD CONSTRAINT settlement_lines_pkey PRIMARY KEY (processor, livemode, report, line);

--
-- Name: webhook_backlogs webhook_backlogs_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.webhook_backlogs
    ADD CONSTRAINT webhook_backlogs_pkey PRIMARY KEY (merchant_id, livemode);

--
-- Name: webhook_deliveries webhook_deliveries_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (id);

--
-- Name: webhook_endpoints webhook_endpoints_id_key; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.webhook_endpoints
    ADD CONSTRAINT webhook_endpoints_id_key UNIQUE (id);

--
-- Name: webhook_endpoints webhook_endpoints_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.webhook_endpoints
    ADD CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (merchant_id, livemode, id);

--
-- Name: webhook_messages webhook_messages_endpoint_id_event_id_key; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.webhook_messages
    ADD CONSTRAINT webhook_messages_endpoint_id_event_id_key UNIQUE (endpoint_id, event_id);

--
-- Name: webhook_messages webhook_messages_pkey; Type: CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.webhook_messages
    ADD CONSTRAINT webhook_messages_pkey PRIMARY KEY (id);

--
-- Name: api_keys_by_merchant; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX api_keys_by_merchant ON public.api_keys USING btree (merchant_id, livemode, id DESC);

--
-- Name: api_keys_replaced_by; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX api_keys_replaced_by ON public.api_keys USING btree (replaced_by) WHERE (replaced_by IS NOT NULL);

--
-- Name: attempts_by_payment; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX attempts_by_payment ON public.attempts USING btree (merchant_id, livemode, payment_id);

--
-- Name: attempts_due; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX attempts_due ON public.attempts USING btree (next_look_at) WHERE (status = 'open'::text);

--
-- Name: attempts_reference; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE UNIQUE INDEX attempts_reference ON public.attempts USING btree (processor, livemode, kind, processor_reference) WHERE ((processor_reference IS NOT NULL) AND (kind = ANY (ARRAY['payment'::text, 'refund'::text])));

--
-- Name: disputes_by_payment; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX disputes_by_payment ON public.disputes USING btree (merchant_id, livemode, payment_id);

--
-- Name: events_by_merchant; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX events_by_merchant ON public.events USING btree (merchant_id, livemode, xid, id);

--
-- Name: events_in_commit_order; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX events_in_commit_order ON public.events USING btree (xid, id);

--
-- Name: idempotency_keys_expiring; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX idempotency_keys_expiring ON public.idempotency_keys USING btree (expires_at) WHERE (expires_at IS NOT NULL);

--
-- Name: ledger_transfers_by_merchant; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX ledger_transfers_by_merchant ON public.ledger_transfers USING btree (merchant_id, livemode, xid, id);

--
-- Name: ledger_transfers_by_payment; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX ledger_transfers_by_payment ON public.ledger_transfers USING btree (merchant_id, livemode, payment_id);

--
-- Name: ledger_transfers_in_commit_order; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX ledger_transfers_in_commit_order ON public.ledger_transfers USING btree (xid, id);

--
-- Name: operations_by_payment; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX operations_by_payment ON public.operations USING btree (merchant_id, livemode, payment_id, kind, id);

--
-- Name: operations_one_in_flight; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE UNIQUE INDEX operations_one_in_flight ON public.operations USING btree (merchant_id, livemode, payment_id) WHERE ((status = 'pending'::text) AND (kind = ANY (ARRAY['capture'::text, 'void'::text])));

--
-- Name: payments_by_reference; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX payments_by_reference ON public.payments USING btree (merchant_id, livemode, reference, id) WHERE (reference IS NOT NULL);

--
-- Name: payments_by_status; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX payments_by_status ON public.payments USING btree (merchant_id, livemode, status, id);

--
-- Name: payments_expiring; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX payments_expiring ON public.payments USING btree (expires_at) WHERE (expires_at IS NOT NULL);

--
-- Name: processor_inbox_by_age; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX processor_inbox_by_age ON public.processor_inbox USING btree (received_at);

--
-- Name: processor_inbox_due; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX processor_inbox_due ON public.processor_inbox USING btree (processor, next_look_at) WHERE (state = 'open'::text);

--
-- Name: processor_inbox_open; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX processor_inbox_open ON public.processor_inbox USING btree (received_at) WHERE (handled_at IS NULL);

--
-- Name: processor_inbox_unmapped; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX processor_inbox_unmapped ON public.processor_inbox USING btree (received_at) WHERE (state = 'unmapped'::text);

--
-- Name: settlement_lines_by_reference; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX settlement_lines_by_reference ON public.settlement_lines USING btree (processor, livemode, kind, processor_reference);

--
-- Name: webhook_deliveries_by_endpoint; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX webhook_deliveries_by_endpoint ON public.webhook_deliveries USING btree (merchant_id, livemode, endpoint_id, id);

--
-- Name: webhook_messages_by_event; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX webhook_messages_by_event ON public.webhook_messages USING btree (event_id);

--
-- Name: webhook_messages_due; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX webhook_messages_due ON public.webhook_messages USING btree (endpoint_id, next_attempt_at) WHERE (status = 'pending'::text);

--
-- Name: webhook_messages_held; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX webhook_messages_held ON public.webhook_messages USING btree (endpoint_id) WHERE (status = 'held'::text);

--
-- Name: webhook_messages_settled; Type: INDEX; Schema: public; Owner: payments_owner
--

CREATE INDEX webhook_messages_settled ON public.webhook_messages USING btree (settled_at) WHERE (settled_at IS NOT NULL);

--
-- Name: merchants add_merchant_modes; Type: TRIGGER; Schema: public; Owner: payments_owner
--

CREATE TRIGGER add_merchant_modes AFTER INSERT ON public.merchants FOR EACH ROW EXECUTE FUNCTION public.add_merchant_modes();

--
-- Name: audit_log append_only; Type: TRIGGER; Schema: public; Owner: payments_owner
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit_log FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

--
-- Name: events append_only; Type: TRIGGER; Schema: public; Owner: payments_owner
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.events FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

--
-- Name: ledger_seals append_only; Type: TRIGGER; Schema: public; Owner: payments_owner
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.ledger_seals FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

--
-- Name: ledger_transfers append_only; Type: TRIGGER; Schema: public; Owner: payments_owner
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.ledger_transfers FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

--
-- Name: api_keys api_keys_merchant_id_livemode_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_merchant_id_livemode_fkey FOREIGN KEY (merchant_id, livemode) REFERENCES public.merchant_modes(merchant_id, livemode);

--
-- Name: api_keys api_keys_replaced_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_replaced_by_fkey FOREIGN KEY (replaced_by) REFERENCES public.api_keys(id);

--
-- Name: attempts attempts_merchant_id_livemode_operation_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_merchant_id_livemode_operation_id_fkey FOREIGN KEY (merchant_id, livemode, operation_id) REFERENCES public.operations(merchant_id, livemode, id);

--
-- Name: attempts attempts_merchant_id_livemode_payment_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_merchant_id_livemode_payment_id_fkey FOREIGN KEY (merchant_id, livemode, payment_id) REFERENCES public.payments(merchant_id, livemode, id);

--
-- Name: disputes disputes_attempt_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.disputes
    ADD CONSTRAINT disputes_attempt_id_fkey FOREIGN KEY (attempt_id) REFERENCES public.attempts(id);

--
-- Name: disputes disputes_merchant_id_livemode_payment_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.disputes
    ADD CONSTRAINT disputes_merchant_id_livemode_payment_id_fkey FOREIGN KEY (merchant_id, livemode, payment_id) REFERENCES public.payments(merchant_id, livemode, id);

--
-- Name: events events_merchant_id_livemode_payment_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_merchant_id_livemode_payment_id_fkey FOREIGN KEY (merchant_id, livemode, payment_id) REFERENCES public.payments(merchant_id, livemode, id);

--
-- Name: ledger_transfers ledger_transfers_attempt_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.ledger_transfers
    ADD CONSTRAINT ledger_transfers_attempt_id_fkey FOREIGN KEY (attempt_id) REFERENCES public.attempts(id);

--
-- Name: ledger_transfers ledger_transfers_merchant_id_livemode_payment_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.ledger_transfers
    ADD CONSTRAINT ledger_transfers_merchant_id_livemode_payment_id_fkey FOREIGN KEY (merchant_id, livemode, payment_id) REFERENCES public.payments(merchant_id, livemode, id);

--
-- Name: merchant_modes merchant_modes_merchant_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.merchant_modes
    ADD CONSTRAINT merchant_modes_merchant_id_fkey FOREIGN KEY (merchant_id) REFERENCES public.merchants(id);

--
-- Name: operations operations_merchant_id_livemode_payment_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.operations
    ADD CONSTRAINT operations_merchant_id_livemode_payment_id_fkey FOREIGN KEY (merchant_id, livemode, payment_id) REFERENCES public.payments(merchant_id, livemode, id);

--
-- Name: payments payments_merchant_id_livemode_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_merchant_id_livemode_fkey FOREIGN KEY (merchant_id, livemode) REFERENCES public.merchant_modes(merchant_id, livemode);

--
-- Name: payouts payouts_merchant_id_livemode_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_merchant_id_livemode_fkey FOREIGN KEY (merchant_id, livemode) REFERENCES public.merchant_modes(merchant_id, livemode);

--
-- Name: webhook_backlogs webhook_backlogs_merchant_id_livemode_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.webhook_backlogs
    ADD CONSTRAINT webhook_backlogs_merchant_id_livemode_fkey FOREIGN KEY (merchant_id, livemode) REFERENCES public.merchant_modes(merchant_id, livemode);

--
-- Name: webhook_endpoints webhook_endpoints_merchant_id_livemode_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.webhook_endpoints
    ADD CONSTRAINT webhook_endpoints_merchant_id_livemode_fkey FOREIGN KEY (merchant_id, livemode) REFERENCES public.merchant_modes(merchant_id, livemode);

--
-- Name: webhook_messages webhook_messages_event_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.webhook_messages
    ADD CONSTRAINT webhook_messages_event_id_fkey FOREIGN KEY (event_id) REFERENCES public.events(id);

--
-- Name: webhook_messages webhook_messages_merchant_id_livemode_endpoint_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: payments_owner
--

ALTER TABLE ONLY public.webhook_messages
    ADD CONSTRAINT webhook_messages_merchant_id_livemode_endpoint_id_fkey FOREIGN KEY (merchant_id, livemode, endpoint_id) REFERENCES public.webhook_endpoints(merchant_id, livemode, id);

--
-- Name: api_keys; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.api_keys ENABLE ROW LEVEL SECURITY;

--
-- Name: attempts; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.attempts ENABLE ROW LEVEL SECURITY;

--
-- Name: audit_log; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.audit_log ENABLE ROW LEVEL SECURITY;

--
-- Name: disputes; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.disputes ENABLE ROW LEVEL SECURITY;

--
-- Name: events; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.events ENABLE ROW LEVEL SECURITY;

--
-- Name: api_keys everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.api_keys TO payments_app USING (true);

--
-- Name: attempts everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.attempts TO payments_app USING (true);

--
-- Name: audit_log everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.audit_log TO payments_app USING (true);

--
-- Name: disputes everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.disputes TO payments_app USING (true);

--
-- Name: events everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.events TO payments_app USING (true);

--
-- Name: idempotency_keys everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.idempotency_keys TO payments_app USING (true);

--
-- Name: ledger_rollups everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.ledger_rollups TO payments_app USING (true);

--
-- Name: ledger_transfers everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.ledger_transfers TO payments_app USING (true);

--
-- Name: merchants everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.merchants TO payments_app USING (true);

--
-- Name: operations everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.operations TO payments_app USING (true);

--
-- Name: payments everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.payments TO payments_app USING (true);

--
-- Name: payouts everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.payouts TO payments_app USING (true);

--
-- Name: webhook_backlogs everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.webhook_backlogs TO payments_app USING (true);

--
-- Name: webhook_deliveries everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.webhook_deliveries TO payments_app USING (true);

--
-- Name: webhook_endpoints everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.webhook_endpoints TO payments_app USING (true);

--
-- Name: webhook_messages everything; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY everything ON public.webhook_messages TO payments_app USING (true);

--
-- Name: idempotency_keys; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.idempotency_keys ENABLE ROW LEVEL SECURITY;

--
-- Name: ledger_rollups; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.ledger_rollups ENABLE ROW LEVEL SECURITY;

--
-- Name: ledger_transfers; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.ledger_transfers ENABLE ROW LEVEL SECURITY;

--
-- Name: merchants; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.merchants ENABLE ROW LEVEL SECURITY;

--
-- Name: api_keys of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.api_keys TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: attempts of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.attempts TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: audit_log of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.audit_log TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: disputes of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.disputes TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: events of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.events TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: idempotency_keys of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.idempotency_keys TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: ledger_rollups of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.ledger_rollups TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: ledger_transfers of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.ledger_transfers TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: merchants of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.merchants TO payments_merchant USING ((id = current_setting('app.merchant_id'::text, true)));

--
-- Name: operations of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.operations TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: payments of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.payments TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: payouts of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.payouts TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: webhook_backlogs of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.webhook_backlogs TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: webhook_deliveries of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.webhook_deliveries TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: webhook_endpoints of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.webhook_endpoints TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: webhook_messages of_one_merchant; Type: POLICY; Schema: public; Owner: payments_owner
--

CREATE POLICY of_one_merchant ON public.webhook_messages TO payments_merchant USING (((merchant_id = current_setting('app.merchant_id'::text, true)) AND (livemode = (current_setting('app.livemode'::text, true) = 'true'::text))));

--
-- Name: operations; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.operations ENABLE ROW LEVEL SECURITY;

--
-- Name: payments; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.payments ENABLE ROW LEVEL SECURITY;

--
-- Name: payouts; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.payouts ENABLE ROW LEVEL SECURITY;

--
-- Name: webhook_backlogs; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.webhook_backlogs ENABLE ROW LEVEL SECURITY;

--
-- Name: webhook_deliveries; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.webhook_deliveries ENABLE ROW LEVEL SECURITY;

--
-- Name: webhook_endpoints; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.webhook_endpoints ENABLE ROW LEVEL SECURITY;

--
-- Name: webhook_messages; Type: ROW SECURITY; Schema: public; Owner: payments_owner
--

ALTER TABLE public.webhook_messages ENABLE ROW LEVEL SECURITY;

--
-- Name: SCHEMA public; Type: ACL; Schema: -; Owner: payments_owner
--

GRANT USAGE ON SCHEMA public TO payments_app;
GRANT USAGE ON SCHEMA public TO payments_merchant;

--
-- Name: TABLE alembic_version; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT ON TABLE public.alembic_version TO payments_app;

--
-- Name: TABLE api_keys; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,UPDATE ON TABLE public.api_keys TO payments_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.api_keys TO payments_merchant;

--
-- Name: TABLE attempts; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,UPDATE ON TABLE public.attempts TO payments_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.attempts TO payments_merchant;

--
-- Name: TABLE audit_log; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT ON TABLE public.audit_log TO payments_app;
GRANT INSERT ON TABLE public.audit_log TO payments_merchant;

--
-- Name: TABLE cursors; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,UPDATE ON TABLE public.cursors TO payments_app;
GRANT SELECT ON TABLE public.cursors TO payments_merchant;

--
-- Name: TABLE disputes; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,UPDATE ON TABLE public.disputes TO payments_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.disputes TO payments_merchant;

--
-- Name: TABLE events; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT ON TABLE public.events TO payments_app;
GRANT SELECT,INSERT ON TABLE public.events TO payments_merchant;

--
-- Name: TABLE idempotency_keys; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.idempotency_keys TO payments_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.idempotency_keys TO payments_merchant;

--
-- Name: TABLE ledger_rollups; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,UPDATE ON TABLE public.ledger_rollups TO payments_app;
GRANT SELECT ON TABLE public.ledger_rollups TO payments_merchant;

--
-- Name: TABLE ledger_seals; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT ON TABLE public.ledger_seals TO payments_app;

--
-- Name: TABLE ledger_transfers; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT ON TABLE public.ledger_transfers TO payments_app;
GRANT SELECT,INSERT ON TABLE public.ledger_transfers TO payments_merchant;

--
-- Name: TABLE merchant_modes; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT ON TABLE public.merchant_modes TO payments_app;

--
-- Name: TABLE merchants; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT ON TABLE public.merchants TO payments_app;
GRANT SELECT ON TABLE public.merchants TO payments_merchant;

--
-- Name: TABLE operations; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,UPDATE ON TABLE public.operations TO payments_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.operations TO payments_merchant;

--
-- Name: TABLE payments; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,UPDATE ON TABLE public.payments TO payments_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.payments TO payments_merchant;

--
-- Name: TABLE payouts; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,UPDATE ON TABLE public.payouts TO payments_app;

--
-- Name: TABLE processor_inbox; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.processor_inbox TO payments_app;
GRANT INSERT ON TABLE public.processor_inbox TO payments_merchant;

--
-- Name: TABLE sandbox_journal; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,UPDATE ON TABLE public.sandbox_journal TO payments_app;

--
-- Name: TABLE settlement_lines; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,DELETE ON TABLE public.settlement_lines TO payments_app;

--
-- Name: TABLE webhook_backlogs; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.webhook_backlogs TO payments_app;

--
-- Name: TABLE webhook_deliveries; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,DELETE ON TABLE public.webhook_deliveries TO payments_app;
GRANT SELECT,INSERT ON TABLE public.webhook_deliveries TO payments_merchant;

--
-- Name: TABLE webhook_endpoints; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,UPDATE ON TABLE public.webhook_endpoints TO payments_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.webhook_endpoints TO payments_merchant;

--
-- Name: TABLE webhook_messages; Type: ACL; Schema: public; Owner: payments_owner
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.webhook_messages TO payments_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.webhook_messages TO payments_merchant;

--
-- PostgreSQL database dump complete
--

