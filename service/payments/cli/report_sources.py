"""Where `payments reconcile` reads a processor's report from: a file, standard input, or an https address.

The address is for containers, which have neither: a link that expires, as processors and object stores make them.
"""

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import requests

from payments.cli.common import CommandRefused

HELP = "the report: a file, - for standard input, or an https address (a link that expires)"
_STDIN = "-"
_HTTPS = "https://"
_TIMEOUT = (5.0, 30.0)
#: A report of a day is far smaller; beyond it the address leads to something else.
_MAX_BYTES = 256 * 1024 * 1024
_CHUNK = 1024 * 1024


def name_of(source: str) -> str | None:
    """What a report from ``source`` is called if nobody says otherwise; standard input has no name."""
    if source == _STDIN:
        return None
    # Never the whole address: what follows the path is its password.
    path = urlsplit(source).path if source.startswith(_HTTPS) else source
    return Path(path).name or None


@contextlib.contextmanager
def opened(source: str) -> Iterator[IO[str]]:
    """The report's text. A byte order mark, as spreadsheets write it, is not part of it.

    Raises:
        CommandRefused: it cannot be read; the message never repeats an address.
    """
    if source.startswith(_HTTPS):
        yield io.TextIOWrapper(io.BytesIO(_fetched(source)), encoding="utf-8-sig", newline="")
    elif source == _STDIN:
        yield io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
    else:
        try:
            file = Path(source).open(encoding="utf-8-sig", newline="")  # noqa: SIM115  # closed below
        except OSError as error:
            raise CommandRefused(f"{source} cannot be read: {error.strerror}.") from error
        with file:
            yield file


def _fetched(address: str) -> bytes:
    try:
        with requests.get(address, stream=True, timeout=_TIMEOUT, allow_redirects=False) as answer:
            if answer.status_code != requests.codes.ok:
                raise CommandRefused(f"The address answers {answer.status_code}. Has the link expired?")
            found = bytearray()
            for chunk in answer.iter_content(_CHUNK):
                found += chunk
                if len(found) > _MAX_BYTES:
                    raise CommandRefused(f"The report is larger than {_MAX_BYTES // _CHUNK} MiB. Is it the right one?")
    except requests.RequestException as error:
        raise CommandRefused(f"The address cannot be read ({type(error).__name__}).") from error
    return bytes(found)
