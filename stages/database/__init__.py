"""DatabaseStack: Aurora PostgreSQL and the credentials for it."""
