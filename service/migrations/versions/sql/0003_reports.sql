-- A report that was imported wrongly is replaced by its corrected edition (`payments reconcile --replace`), which the
-- audit log tells. The lines are the processor's word, not our books.
GRANT DELETE ON settlement_lines TO payments_app;
