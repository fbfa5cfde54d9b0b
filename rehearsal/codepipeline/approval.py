"""Manual approvals: a person decides in the terminal, having read what is about to change."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from rehearsal.codepipeline.actions import ActionError, Surroundings
from rehearsal.codepipeline.definition import Action


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the approver is asked: the action's own text, and what the stage behind it would change."""

    stage: str
    action: str
    text: str
    link: str
    changes: tuple[str, ...]


class Approver(Protocol):
    """Whoever decides."""

    def approve(self, request: Request) -> bool:
        """Answer True to go on, False to reject."""
        ...


class RejectedError(ActionError):
    """The approver said no. Rejecting fails the stage, as in CodePipeline."""


@dataclass(frozen=True, kw_only=True)
class Approval:
    """Runs approval actions. `changes` lists, in words, what the actions behind the approval would change."""

    approver: Approver
    changes: Callable[[Surroundings], tuple[str, ...]]

    def run(self, action: Action, around: Surroundings) -> Mapping[str, str]:
        """Ask; see `Provider.run`."""
        configuration = around.configuration(action)
        request = Request(
            stage=around.stage,
            action=action.name,
            text=configuration.get("CustomData", ""),
            link=configuration.get("ExternalEntityLink", ""),
            changes=self.changes(around),
        )
        around.log.write_text("\n".join((request.text, request.link, *request.changes)) + "\n", encoding="utf-8")
        around.progress("waiting for a decision")
        if not self.approver.approve(request):
            msg = f"{action.name} was rejected; nothing behind it was touched"
            raise RejectedError(msg, log=around.log)
        return {}
