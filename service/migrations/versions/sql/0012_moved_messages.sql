-- When some of its messages last followed the endpoint, which was disabled, enabled or deleted; NULL once all have.
ALTER TABLE webhook_endpoints ADD COLUMN messages_moved_at timestamptz;
CREATE INDEX webhook_endpoints_moving ON webhook_endpoints (messages_moved_at) WHERE messages_moved_at IS NOT NULL;
