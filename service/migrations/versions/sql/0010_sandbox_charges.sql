-- Only what is about a charge has one, so that payments cost no entry. The sandbox waits while it is built.
CREATE INDEX sandbox_journal_by_charge ON sandbox_journal (charge_reference) WHERE charge_reference IS NOT NULL;
