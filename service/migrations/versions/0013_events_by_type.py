"""Events of one type are found by an index of their own (docs/decisions/0325-events-by-type.md)."""

from payments.repositories import migration_scripts

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_scripts.run(revision)
