"""What processors do on their own is followed: inbox as a queue, disputes, postings without an operation of ours."""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    driver = op.get_bind().connection.driver_connection  # plain text for psycopg: no parameters, several statements
    if driver is None:
        raise RuntimeError("the connection that migrates is closed")
    for script in sorted((Path(__file__).parent / "sql").glob(f"{revision}_*.sql")):
        driver.execute(script.read_text())


def downgrade() -> None:
    raise NotImplementedError("Migrations are forward-only: write a new one that contracts what this one expanded.")
