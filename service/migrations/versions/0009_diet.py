"""Two foreign keys and an index go that no rule and no query needs (docs/decisions/0319-diet.md)."""

from payments.repositories import migration_scripts

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_scripts.run(revision)
