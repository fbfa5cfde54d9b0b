"""All SQL, one module per table group. Nothing here begins or commits a transaction."""
