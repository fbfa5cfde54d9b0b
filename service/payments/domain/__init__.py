"""Pure rules: money, identifiers, payment states, the ledger. Nothing here reads a clock, a database or a network."""
