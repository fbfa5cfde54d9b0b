"""pgledger's bare transfers as a denominator: another ledger in PostgreSQL, fetched by whoever runs the bench."""

import subprocess
from pathlib import Path

from benchmarks.blocks import Subject
from benchmarks.errors import BenchError
from benchmarks.loads import Script
from benchmarks.stand import Stand

_DATABASE = "pgledger"
_ACCOUNTS = """
    CREATE TABLE bench_accounts AS
    SELECT number, (SELECT id FROM pgledger_create_account('account ' || number, 'USD')) AS id
    FROM generate_series(1, 50) AS number;
    ALTER TABLE bench_accounts ADD PRIMARY KEY (number);
    GRANT ALL ON ALL TABLES IN SCHEMA public TO frozen_login
"""


def subject(stand: Stand, name: str) -> Subject:
    """Install pgledger in a database of its own, and return its transfers.

    Raises:
        BenchError: The checkout is not one of pgledger, or could not be cloned.
    """
    checkout = _checkout(stand, stand.options.pgledger)
    stand.server.execute("postgres", f"CREATE DATABASE {_DATABASE}")
    for file in (*sorted(checkout.glob("vendor/*/*.sql")), checkout / "pgledger.sql"):
        stand.server.run_script(_DATABASE, file)
    stand.server.execute(_DATABASE, _ACCOUNTS)
    return stand.denominator(name, Script(name="pgledger", database=_DATABASE))


def _checkout(stand: Stand, source: str) -> Path:
    folder = Path(source).expanduser()
    if "://" in source:
        folder = stand.directory / "pgledger"
        if not folder.exists():
            command = ["git", "clone", "--quiet", "--depth=1", "--", source, str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BenchError(f"PGLEDGER={source} could not be cloned: {done.stderr.strip()}")
    if not (folder / "pgledger.sql").exists():
        raise BenchError(f"PGLEDGER={source} has no pgledger.sql")
    return folder
