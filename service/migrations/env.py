"""Alembic runs migrations on the connection that `payments migrate` holds: lock and migration are one session."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=None,
    # One transaction for all that is pending: a release's schema is there completely or not at all.
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
