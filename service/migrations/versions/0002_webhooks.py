"""Webhooks, outbound (endpoints, messages, deliveries) and inbound (what processors told us)."""

from payments.repositories import migration_scripts

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_scripts.run(revision)
