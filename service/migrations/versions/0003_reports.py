"""Reports of processors can be corrected."""

from payments.repositories import migration_scripts

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_scripts.run(revision)
