"""Pure rules: money, identifiers, states, ledger. Nothing here reads a clock, a database or a network."""
