"""Messages are found by their endpoint and event, never by the event alone (docs/decisions/0319-diet.md)."""

from payments.repositories import migration_scripts

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_scripts.run(revision)
