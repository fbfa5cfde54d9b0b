"""The sandbox finds what was done to a charge by an index: it read its whole journal for each capture and refund."""

from payments.repositories import migration_scripts

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_scripts.run(revision)
