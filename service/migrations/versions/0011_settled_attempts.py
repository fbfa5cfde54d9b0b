"""An attempt is settled when it says so and since when: what is known by its id is told apart by either."""

from payments.repositories import migration_scripts

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_scripts.run(revision)
