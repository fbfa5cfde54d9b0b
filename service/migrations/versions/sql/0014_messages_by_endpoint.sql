-- UNIQUE (endpoint_id, event_id) finds the messages of an event: every statement names the endpoint too. Events are never
-- deleted, so the foreign key needs no index either.
DROP INDEX webhook_messages_by_event;
