"""Everything that payments, ledger, events and identity need."""

from payments.repositories import migration_scripts

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_scripts.run(revision)
