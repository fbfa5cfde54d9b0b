"""The context that an action runs in, and the interface of whatever executes actions."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rehearsal.codepipeline.artifacts import Artifacts
from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.variables import Variables


class ActionError(Exception):
    """An action failed; `log` is the log file with the details."""

    def __init__(self, cause: str, *, log: Path | None = None) -> None:
        super().__init__(cause)
        self.log = log


class CancelledError(Exception):
    """The execution is being cancelled; the action stopped before it was done."""


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """The part of a pipeline execution that one of its actions can see."""

    stage: str
    execution_id: str
    artifacts: Artifacts
    variables: Variables
    log: Path
    progress: Callable[[str], None]
    cancelled: threading.Event

    def configuration(self, action: Action) -> dict[str, str]:
        """Return the action's configuration with its variables resolved."""
        return {key: self.variables.resolve(value) for key, value in action.configuration.items()}

    def write_log(self, line: str) -> None:
        """Append a line to the action's log."""
        with self.log.open("a", encoding="utf-8") as log:
            log.write(line + "\n")


class ActionExecutor(Protocol):
    """Executes the actions of one provider."""

    def execute(self, action: Action, context: RunContext) -> Mapping[str, str]:
        """Execute the action and return its output variables.

        Raises:
            ActionError: The action failed.
            CancelledError: `context.cancelled` was set.

        """
        ...
