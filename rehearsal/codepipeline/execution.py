"""One execution of a pipeline: stages in order, run orders in order, actions of equal run order in parallel."""

import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rehearsal.codepipeline.artifacts import ArtifactError, Artifacts
from rehearsal.codepipeline.definition import Action, Pipeline, Stage
from rehearsal.codepipeline.run_context import ActionError, ActionExecutor, CancelledError, RunContext
from rehearsal.codepipeline.timeline import Entry, Status, Timeline
from rehearsal.codepipeline.variables import UnknownVariableError, Variables

_ROLLBACK_NOTE = (
    "\nCodePipeline would now roll the stage back to its last successful execution, if there is one with the same "
    "pipeline structure. The rehearsal does not: the stage stays as it is."
)


class StageFailedError(Exception):
    """A stage failed; the message names stage, action and cause, and what only CodePipeline would do next."""

    def __init__(self, stage: Stage, action: str, error: ActionError) -> None:
        note = _ROLLBACK_NOTE if stage.on_failure == "ROLLBACK" else ""
        super().__init__(f"stage {stage.name}, action {action}: {error}{note}")
        self.stage, self.action, self.log = stage.name, action, error.log


class PipelineChangedError(Exception):
    """The pipeline changed its own definition, so that this execution is superseded."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One execution."""

    pipeline: Pipeline
    commit_id: str
    artifacts: Path
    logs: Path
    #: Executors by action provider; approval and source actions by their category.
    executors: Mapping[str, ActionExecutor]
    timeline: Timeline
    cancelled: threading.Event
    #: Returns whether the definition has changed; called after every run order.
    has_changed: Callable[[], bool]

    def run(self) -> None:
        """Run every stage.

        Raises:
            StageFailedError: An action failed; no later stage was started.
            PipelineChangedError: The definition changed during the execution (self-mutation).
            CancelledError: `cancelled` was set.

        """
        execution_id = str(uuid.uuid4())
        state = _State(
            id=execution_id,
            artifacts=Artifacts(self.artifacts / execution_id),
            variables=Variables({"PipelineExecutionId": execution_id, "SourceRevision": self.commit_id}),
            entries={
                (stage.name, action.name): self.timeline.plan(stage.name, action.name, execution_id)
                for stage in self.pipeline.stages
                for group in stage.action_groups()
                for action in group
            },
        )
        try:
            for stage in self.pipeline.stages:
                self._run_stage(stage, state)
        finally:
            for entry in state.entries.values():
                if entry.status is Status.PENDING:
                    self.timeline.end(entry, Status.ABANDONED)

    def _run_stage(self, stage: Stage, state: "_State") -> None:
        for group in stage.action_groups():
            with ThreadPoolExecutor(max_workers=len(group), thread_name_prefix=stage.name) as pool:
                futures = [(action, pool.submit(self._run_action, stage, action, state)) for action in group]
            errors = [(action, error) for action, future in futures if (error := future.exception()) is not None]
            for action, error in errors:
                if isinstance(error, ActionError):
                    raise StageFailedError(stage, action.name, error) from error
            for _, error in errors:
                raise error
            if self.pipeline.restart_on_update and self.has_changed():
                raise PipelineChangedError(f"{stage.name} changed the definition of pipeline {self.pipeline.name}")

    def _run_action(self, stage: Stage, action: Action, state: "_State") -> None:
        if self.cancelled.is_set():
            raise CancelledError("the execution is being cancelled")
        entry = state.entries[stage.name, action.name]
        log = self.logs / f"{stage.name}.{action.name}.log"
        log.write_bytes(b"")
        self.timeline.begin(entry, log)
        context = RunContext(
            stage=stage.name,
            execution_id=state.id,
            artifacts=state.artifacts,
            variables=state.variables,
            log=log,
            progress=lambda text: self.timeline.progress(entry, text),
            cancelled=self.cancelled,
        )
        try:
            exported = self._executor(action).execute(action, context)
        except CancelledError:
            self.timeline.end(entry, Status.ABANDONED, "cancelled")
            raise
        except (ActionError, ArtifactError, UnknownVariableError) as error:
            failure = error if isinstance(error, ActionError) else ActionError(str(error), log=log)
            self.timeline.end(entry, Status.FAILED, str(failure))
            raise failure from error
        except BaseException as error:
            self.timeline.end(entry, Status.FAILED, f"{type(error).__name__}: {error}")
            raise
        if action.namespace:
            state.variables.export(action.namespace, exported)
        self.timeline.end(entry, Status.SUCCEEDED)

    def _executor(self, action: Action) -> ActionExecutor:
        key = action.category if action.category in ("Approval", "Source") else action.provider
        if key not in self.executors:
            raise ActionError(f"{action.category} actions of provider {action.provider} are not supported")
        return self.executors[key]


@dataclass(frozen=True, kw_only=True)
class _State:
    """What the actions of one execution share."""

    id: str
    artifacts: Artifacts
    variables: Variables
    entries: Mapping[tuple[str, str], Entry]
