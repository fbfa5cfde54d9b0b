"""The application may read which version the schema has (docs/decisions/0109-schema-version.md)."""

from payments.repositories import migration_scripts

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_scripts.run(revision)
