"""Manual approvals: a person decides in the terminal, having read what the real approver would read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rehearsal.codepipeline.actions import ActionError, Surroundings
from rehearsal.codepipeline.definition import Action


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the approver is asked: text and link of the action, with their variables filled in."""

    stage: str
    action: str
    text: str
    link: str
    logs: tuple[Path, ...] = ()
    """Logs of what ran before in the same stage: the link of a report leads to a console, these are on this machine."""


class Approver(Protocol):
    """Whoever decides."""

    def approve(self, request: Request) -> bool:
        """Answer True to go on, False to reject."""
        ...


class RejectedError(ActionError):
    """The approver said no. Rejecting fails the stage, as in CodePipeline."""


@dataclass(frozen=True, kw_only=True)
class Approval:
    """Runs approval actions."""

    approver: Approver

    def run(self, action: Action, around: Surroundings) -> Mapping[str, str]:
        """Ask; see `Provider.run`."""
        configuration = around.configuration(action)
        request = Request(
            stage=around.stage,
            action=action.name,
            text=configuration.get("CustomData", ""),
            link=configuration.get("ExternalEntityLink", ""),
            logs=tuple(sorted(path for path in around.log.parent.glob(f"{around.stage}.*.log") if path != around.log)),
        )
        around.log.write_text(f"{request.text}\n{request.link}\n", encoding="utf-8")
        around.progress("waiting for a decision")
        if not self.approver.approve(request):
            msg = f"{action.name} was rejected; nothing behind it was touched"
            raise RejectedError(msg, log=around.log)
        return {}
