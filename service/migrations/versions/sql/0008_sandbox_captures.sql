-- Null in what was written before, or by the previous release: then a charge without captures passes for captured.
ALTER TABLE sandbox_journal ADD COLUMN automatic_capture boolean;
