"""The end of all open work, by the database: what the worker still has to do, bounded since every wait in it is."""

import contextlib

import psycopg

from tests.proof.world import World
from tests.waiting import wait_until

#: Seconds for everything that was left open to be settled: deadlines, look-ups, leases of webhooks.
QUIET = 150.0
#: What the worker still has to do. The last line counts transfers without a seal.
_OPEN_WORK = """
    SELECT (SELECT count(*) FROM attempts a JOIN payments p ON p.id = a.payment_id
            WHERE a.status = 'open' AND p.status <> 'requires_action')
        + (SELECT count(*) FROM operations WHERE status = 'pending')
        + (SELECT count(*) FROM webhook_messages WHERE status = 'pending')
        + (SELECT count(*) FROM events e, cursors c WHERE c.name = 'outbox' AND (e.xid, e.id) > (c.xid, c.id))
        + (SELECT count(*) FROM ledger_transfers WHERE NOT EXISTS (
            SELECT FROM ledger_seals WHERE (upto_xid, upto_id) >= (ledger_transfers.xid, ledger_transfers.id)))
"""


def wait_until_quiet(made: World, *, revive: bool = True) -> None:
    """Wait until nothing is left to do, or :data:`QUIET` is over; `revive` starts processes that have ended again."""

    def is_quiet() -> bool:
        for victim in made.victims if revive else ():
            victim.revive()
        with psycopg.connect(made.postgres.superuser) as connection:
            row = connection.execute(_OPEN_WORK).fetchone()
        return row == (0,)

    with contextlib.suppress(AssertionError):  # what is still open is named by the checks
        wait_until(is_quiet, "the end of all open work", timeout=QUIET)
