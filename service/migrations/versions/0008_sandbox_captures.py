"""The sandbox remembers which charges it captured at once: they cannot be voided."""

from payments.repositories import migration_scripts

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_scripts.run(revision)
