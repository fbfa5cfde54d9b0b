"""The SQL scripts of a migration."""

from alembic import op

from payments.repositories.schema import MIGRATIONS


def run(revision: str) -> None:
    """Execute the scripts ``sql/{revision}_*.sql`` in the order of their names, in the migration's transaction.

    Migrations are forward-only: there is no way back, only a new one that contracts what an earlier one expanded.
    """
    driver = op.get_bind().connection.driver_connection  # plain text for psycopg: no parameters, several statements
    if driver is None:
        raise RuntimeError("the connection that migrates is closed")
    for script in sorted((MIGRATIONS / "versions" / "sql").glob(f"{revision}_*.sql")):
        driver.execute(script.read_text())
