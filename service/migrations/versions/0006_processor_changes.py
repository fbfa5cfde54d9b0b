"""What processors do on their own is followed: inbox as a queue, disputes, postings without an operation of ours."""

from payments.repositories import migration_scripts

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration_scripts.run(revision)
