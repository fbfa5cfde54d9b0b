-- The merchant of the denominators; its modes come from a trigger.
INSERT INTO merchants (id, name) VALUES ('mer_frozen', 'Denominators');
