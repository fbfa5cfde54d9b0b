"""Messages follow their endpoint in batches (docs/decisions/0323-messages-follow-their-endpoint.md)."""

from payments.repositories import migration_scripts

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_scripts.run(revision)
