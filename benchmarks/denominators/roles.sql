-- The roles that schema.sql names, as the service's migrations create them, and the login of the denominators.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['payments_owner', 'payments_app', 'payments_merchant', 'frozen_login'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I', role);
        END IF;
    END LOOP;
END
$$;
ALTER ROLE frozen_login LOGIN;
GRANT payments_merchant TO payments_app;
GRANT payments_app TO frozen_login;
