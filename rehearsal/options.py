"""What the caller may decide, read once from the environment (the Makefile's variables)."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

DEFAULT_PORT = 9443


class OptionError(Exception):
    """A variable has a value that it cannot have; the message says which and what it may be."""


class Decision(StrEnum):
    """What happens at a manual approval."""

    AUTO = "auto"
    REJECT = "reject"
    ASK = "ask"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The caller's choices.

    `port` is the first load balancer's HTTPS port, the next one's is one more; 0 takes any free ones.
    `deployed` is the revision whose PipelineStack "a person deployed earlier"; the default is the rehearsed commit.
    `keep` leaves the environments serving until Ctrl-C.
    """

    decision: Decision
    port: int
    revision: str
    deployed: str
    keep: bool

    @classmethod
    def read(cls, environment: Mapping[str, str], *, interactive: bool) -> "Options":
        """Read APPROVE, REHEARSE_PORT, REVISION and DEPLOYED.

        Raises:
            OptionError: a value is none of those allowed.
        """
        default = Decision.ASK if interactive else Decision.AUTO
        text = environment.get("APPROVE") or default.value
        if text not in {decision.value for decision in Decision}:
            msg = f"APPROVE={text} is not known; use APPROVE=auto, APPROVE=reject or APPROVE=ask"
            raise OptionError(msg)
        port = environment.get("REHEARSE_PORT") or str(DEFAULT_PORT)
        if not port.isdecimal() or int(port) > 65_000:
            msg = f"REHEARSE_PORT={port} is not a port; use a number from 1024 to 65000, or 0 for any free one"
            raise OptionError(msg)
        revision = environment.get("REVISION") or "HEAD"
        return cls(
            decision=Decision(text),
            port=int(port),
            revision=revision,
            deployed=environment.get("DEPLOYED") or revision,
            keep=interactive and text == Decision.ASK.value,
        )


def is_interactive() -> bool:
    """Whether a person sits at a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()
