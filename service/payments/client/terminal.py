"""Lines for a person: in colour on a terminal, plain anywhere else."""

import os
from collections.abc import Mapping
from enum import Enum
from typing import TextIO


class Colour(Enum):
    """What a part of a line says, as the code that terminals take."""

    GOOD = "32"
    BAD = "31"
    QUIET = "2"
    STRONG = "1"


class Terminal:
    """Writes whole lines, each at once, so that they can be piped."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str] = os.environ) -> None:
        self._stream = stream
        # https://no-color.org: any value that is not empty.
        self._coloured = stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"

    def paint(self, text: str, colour: Colour) -> str:
        """Return ``text`` in a colour, if there are any."""
        return f"\x1b[{colour.value}m{text}\x1b[0m" if self._coloured else text

    def line(self, text: str = "") -> None:
        """Write a line."""
        self._stream.write(text + "\n")
        self._stream.flush()
