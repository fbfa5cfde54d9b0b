-- api and worker look at the schema's version before they use it: a release does not run on a schema older than its own.
GRANT SELECT ON alembic_version TO payments_app;
