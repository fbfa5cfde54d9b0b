-- The group role that holds what the running service may do. Login roles (APP_DB_USER) are its members, so that a
-- credential can be rotated by making a second login role. Roles belong to the cluster: another database may have made it.
DO $$
BEGIN
    CREATE ROLE payments_app NOLOGIN;
EXCEPTION WHEN duplicate_object THEN NULL;
END
$$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO payments_app;

-- What is written once stays as it was, whoever asks, the owner included.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'Correct by appending a row that reverses the wrong one.';
END
$$;
