"""All SQL, one module per group of tables. Nothing here begins or commits a transaction."""
