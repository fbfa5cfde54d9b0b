"""Row-level security (docs/decisions/0306-row-level-security.md)."""

from payments.repositories import migration_scripts

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_scripts.run(revision)
