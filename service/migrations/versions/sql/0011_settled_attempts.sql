-- Attempts before the inbox, as requests lock them. Every release has written both columns together.
ALTER TABLE attempts
    ADD CONSTRAINT attempts_settled_check CHECK ((status = 'settled') = (settled_at IS NOT NULL)) NOT VALID;

-- No query is about when an open event was received.
DROP INDEX processor_inbox_open;
