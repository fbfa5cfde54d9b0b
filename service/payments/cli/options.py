"""Types of the commands' options. Each says what it takes, and never repeats what it was given: it may be a secret."""

import argparse
import re
from collections.abc import Callable
from datetime import timedelta

from payments.domain.api_keys import ALL_SCOPES, Scope

#: Of names, as in the API.
MAX_NAME = 100
#: Of other texts that are stored.
MAX_TEXT = 1000
ALL = "all"
_DIGITS = re.compile(r"[0-9]{1,9}")
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_HEAD = re.compile(r"[0-9A-Fa-f]{64}")


def text(maximum: int = MAX_TEXT) -> Callable[[str], str]:
    """Return the type of a text of up to ``maximum`` characters, in one line."""

    def parse(value: str) -> str:
        # Bytes that are not UTF-8 arrive as lone surrogates, which are not printable either.
        if not value.strip() or len(value) > maximum or not value.isprintable():
            raise argparse.ArgumentTypeError(f"takes 1 to {maximum} printable characters in UTF-8")
        return value

    return parse


def whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return the type of a whole number in a range."""

    def parse(value: str) -> int:
        if not _DIGITS.fullmatch(value) or not minimum <= int(value) <= maximum:
            raise argparse.ArgumentTypeError(f"takes a whole number from {minimum} to {maximum}")
        return int(value)

    return parse


def hours(maximum: timedelta) -> Callable[[str], timedelta]:
    """Return the type of a duration in hours, 0 included, of at most ``maximum``."""
    limit = maximum // timedelta(hours=1)

    def parse(value: str) -> timedelta:
        if not _DECIMAL.fullmatch(value) or float(value) > limit:
            raise argparse.ArgumentTypeError(f"takes hours from 0 to {limit}, such as 24 or 0.5")
        return timedelta(hours=float(value))

    return parse


def identifier(prefix: str, what: str) -> Callable[[str], str]:
    """Return the type of an ID with ``prefix``; ``what`` is shown to those who pass something else."""
    pattern = re.compile(rf"{prefix}_[A-Za-z0-9-]{{1,64}}")

    def parse(value: str) -> str:
        if not pattern.fullmatch(value):
            raise argparse.ArgumentTypeError(f"takes {what} ({prefix}_...)")
        return value

    return parse


def scopes(value: str) -> frozenset[Scope]:
    """Parse comma-separated scopes, or ``all``."""
    if value == ALL:
        return ALL_SCOPES
    try:
        return frozenset(Scope(name.strip()) for name in value.split(","))
    except ValueError as error:
        known = ", ".join(sorted(ALL_SCOPES))
        raise argparse.ArgumentTypeError(f"takes {ALL}, or any of these, separated by commas: {known}") from error


def head(value: str) -> str:
    """Parse a head of the ledger's chain."""
    if not _HEAD.fullmatch(value):
        raise argparse.ArgumentTypeError("takes a head as the worker logs it: 64 hexadecimal digits")
    return value
