"""Where `payments reconcile` reads a processor's report from: a file, standard input or an https URL.

The URL is for containers, which have neither file nor input: an expiring link, as processors and object stores issue.
"""

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import requests

from payments.cli.common import CommandError

SOURCE_HELP = "the report: a file, - for standard input, or an https URL (an expiring link)"
_STDIN = "-"
_HTTPS = "https://"
_TIMEOUT = (5.0, 30.0)
#: Far above a day's report; a larger response is something else.
_MAX_BYTES = 256 * 1024 * 1024
_CHUNK = 1024 * 1024


def default_name(source: str) -> str | None:
    """Return the name of a report from ``source`` unless ``--report`` gives one; standard input has none."""
    if source == _STDIN:
        return None
    # Never the whole URL: its query is a credential.
    try:
        path = urlsplit(source).path if source.startswith(_HTTPS) else source
    except ValueError as error:
        raise CommandError("The URL is malformed.") from error
    return Path(path).name or None


@contextlib.contextmanager
def open_report(source: str) -> Iterator[IO[str]]:
    """Open the report as text, without the byte order mark that spreadsheets write.

    Raises:
        CommandError: It cannot be read; the message never repeats a URL.
    """
    if source.startswith(_HTTPS):
        yield io.TextIOWrapper(io.BytesIO(_download(source)), encoding="utf-8-sig", newline="")
    elif source == _STDIN:
        if sys.stdin is None:
            raise CommandError("Standard input is closed.")
        yield io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
    else:
        try:
            file = Path(source).open(encoding="utf-8-sig", newline="")  # noqa: SIM115 - closed below
        except (OSError, ValueError) as error:  # ValueError: a NUL character
            reason = error.strerror if isinstance(error, OSError) else "it is no file name"
            raise CommandError(f"The source cannot be read: {reason}.") from error
        with file:
            yield file


def _download(url: str) -> bytes:
    try:
        with requests.get(url, stream=True, timeout=_TIMEOUT, allow_redirects=False) as response:
            if response.status_code != requests.codes.ok:
                raise CommandError(f"The URL returned {response.status_code}. Has the link expired?")
            content = bytearray()
            for chunk in response.iter_content(_CHUNK):
                content += chunk
                if len(content) > _MAX_BYTES:
                    raise CommandError(f"The report is larger than {_MAX_BYTES // _CHUNK} MiB. Is it the right one?")
    except requests.RequestException as error:
        raise CommandError(f"The URL cannot be read ({type(error).__name__}).") from error
    except OSError as error:  # REQUESTS_CA_BUNDLE names no file
        raise CommandError(f"The URL cannot be read: {error}") from error
    return bytes(content)
