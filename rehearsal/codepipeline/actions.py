"""What every action provider shares: its surroundings, its failure, and the registry that finds it."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rehearsal.codepipeline.artifacts import Artifacts
from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.variables import Variables


class ActionError(Exception):
    """An action failed. The message is its cause; `log` is where to read more."""

    def __init__(self, cause: str, *, log: Path | None = None) -> None:
        super().__init__(cause)
        self.log = log


class CancelledError(Exception):
    """The run is being stopped; the action ended before its end."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What an action sees of the execution that it is part of."""

    stage: str
    execution_id: str
    artifacts: Artifacts
    variables: Variables
    log: Path
    progress: Callable[[str], None]
    cancelled: threading.Event

    def configuration(self, action: Action) -> dict[str, str]:
        """The action's configuration with the variables filled in."""
        return {key: self.variables.resolve(value) for key, value in action.configuration.items()}


class Provider(Protocol):
    """Runs the actions of one kind."""

    def run(self, action: Action, around: Surroundings) -> Mapping[str, str]:
        """Do it and return the exported variables.

        Raises:
            ActionError: it failed.
            CancelledError: `around.cancelled` was set meanwhile.
        """
        ...
