"""The options of the commands, from environment variables."""

import sys
from enum import StrEnum

from pydantic import Field

from rehearsal.host.settings import EnvironmentSettings


class ApprovalMode(StrEnum):
    """What happens at a manual approval."""

    AUTO = "auto"
    REJECT = "reject"
    ASK = "ask"


class Options(EnvironmentSettings):
    """The options."""

    #: What happens at an approval; without it `ask` in a terminal, otherwise `auto`.
    approve: ApprovalMode | None = None
    #: The HTTPS port of the first load balancer, the next one's is one more; 0 takes any free ones.
    rehearse_port: int = Field(default=9443, ge=0, le=65_000)
    #: The revision to rehearse.
    revision: str = "HEAD"
    #: The revision whose pipeline stack "was deployed earlier"; without it the rehearsed one.
    deployed: str | None = None

    @property
    def approval_mode(self) -> ApprovalMode:
        """What happens at an approval."""
        return self.approve or (ApprovalMode.ASK if is_interactive() else ApprovalMode.AUTO)

    @property
    def deployed_revision(self) -> str:
        """The revision whose pipeline stack is deployed first."""
        return self.deployed or self.revision

    @property
    def keeps_serving(self) -> bool:
        """Whether the environments serve until Ctrl-C."""
        return is_interactive() and self.approval_mode is ApprovalMode.ASK


def is_interactive() -> bool:
    """Return whether input and output are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()
