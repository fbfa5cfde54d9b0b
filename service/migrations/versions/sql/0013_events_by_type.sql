-- One type of event may be rare: its newest may be years back.
CREATE INDEX events_by_type ON events (merchant_id, livemode, type, xid, id);
