"""Aurora clusters: an embedded PostgreSQL server behind a TLS gateway for each."""
