"""Use cases: each owns its transactions, and the commit is visible in it."""
