-- What processors told us: that something happened, not what. The object is retrieved; order and content are not trusted.
CREATE TABLE processor_inbox (
    processor text NOT NULL,
    event_id text NOT NULL,
    livemode boolean NOT NULL,
    type text NOT NULL,
    -- The processor's ids of the objects concerned.
    processor_references text[] NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    -- When an attempt of ours was found for it and looked at; what belongs to none stays open and is given up later.
    handled_at timestamptz,
    PRIMARY KEY (processor, event_id)
);
CREATE INDEX processor_inbox_open ON processor_inbox (received_at) WHERE handled_at IS NULL;
CREATE INDEX processor_inbox_by_age ON processor_inbox (received_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON processor_inbox TO payments_app;
