"""Each merchant's events are fanned out in turn, so that one with very many delays no other."""

from payments.repositories import migration_scripts

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_scripts.run(revision)
