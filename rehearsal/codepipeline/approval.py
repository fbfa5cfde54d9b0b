"""Manual approval actions: the user decides in the terminal, with the text that the real approver would read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.run_context import ActionError, RunContext

#: What an action does while somebody decides.
WAITING = "waiting for approval"


@dataclass(frozen=True, kw_only=True)
class ApprovalRequest:
    """What the approver sees: the action's text and link, with their variables resolved."""

    stage: str
    action: str
    text: str
    link: str
    #: Logs of the earlier actions of the stage. The link leads to the AWS console; these files are on this machine.
    logs: tuple[Path, ...] = ()


class Approver(Protocol):
    """Decides about approval requests."""

    def approve(self, request: ApprovalRequest) -> bool:
        """Return whether the request is approved."""
        ...


class RejectedError(ActionError):
    """The request was rejected, which fails the stage, as in CodePipeline."""


@dataclass(frozen=True, kw_only=True)
class ApprovalExecutor:
    """Executes manual approval actions."""

    approver: Approver

    def execute(self, action: Action, context: RunContext) -> Mapping[str, str]:
        """Ask the approver; see `ActionExecutor.execute`."""
        configuration = context.configuration(action)
        logs = (path for path in context.log.parent.glob(f"{context.stage}.*.log") if path != context.log)
        request = ApprovalRequest(
            stage=context.stage,
            action=action.name,
            text=configuration.get("CustomData", ""),
            link=configuration.get("ExternalEntityLink", ""),
            logs=tuple(sorted(logs)),
        )
        context.write_log(f"{request.text}\n{request.link}")
        context.progress(WAITING)
        if not self.approver.approve(request):
            raise RejectedError(f"{action.name} was rejected; no later action was started", log=context.log)
        return {}
