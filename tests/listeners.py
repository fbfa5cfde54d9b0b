"""Who listens where."""

from collections.abc import Iterable
from contextlib import suppress

import psutil


def listening_addresses(processes: Iterable[psutil.Process]) -> list[str]:
    """Return the addresses on which `processes` and their children listen; one that ends meanwhile listens nowhere."""
    found: list[str] = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    found += [c.laddr.ip for c in each.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    return found
