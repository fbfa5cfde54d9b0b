"""What the caller may decide about a soak, read once from the environment (the Makefile's variables)."""

from collections.abc import Mapping
from dataclasses import dataclass

_DEFAULT_MINUTES = 15.0
_LONGEST_MINUTES = 24 * 60.0
_HIGHEST_SCALE = 1_000.0


class OptionError(Exception):
    """A variable has a value that it cannot have; the message says which and what it may be."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How long a soak lasts for those who are soaked, and how many times faster their time passes."""

    minutes: float = _DEFAULT_MINUTES
    time_scale: float = 1.0

    @property
    def seconds(self) -> float:
        """How long it takes on this machine's clock."""
        return self.minutes * 60 / self.time_scale

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Options":
        """Read MINUTES and TIME_SCALE.

        Raises:
            OptionError: a value is no number, or too large or too small.
        """
        return cls(
            minutes=_number(environment, "MINUTES", cls.minutes, least=0.1, most=_LONGEST_MINUTES),
            time_scale=_number(environment, "TIME_SCALE", cls.time_scale, least=1.0, most=_HIGHEST_SCALE),
        )


def _number(environment: Mapping[str, str], name: str, default: float, *, least: float, most: float) -> float:
    text = environment.get(name) or f"{default}"
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise OptionError(f"{name}={text}: it must be a number from {least:g} to {most:g}")
    return value
