"""One execution of a pipeline: stages in order, run orders in order, equal run orders side by side."""

import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rehearsal.codepipeline.actions import ActionError, CancelledError, Provider, Surroundings
from rehearsal.codepipeline.artifacts import ArtifactError, Artifacts
from rehearsal.codepipeline.definition import Action, Pipeline, Stage
from rehearsal.codepipeline.variables import UnknownVariableError, Variables
from rehearsal.timeline import Entry, Status, Timeline

#: What becomes of a failed stage in CodePipeline and not here, by `OnFailure.Result`.
_BEYOND = {
    "ROLLBACK": "\nCodePipeline would now run the stage again with the artifacts of its last successful execution, if "
    "there is one of this pipeline structure. A rehearsal shows no such rollback: the stage stays as it is.",
    "RETRY": "\nCodePipeline would now try the stage once more. A rehearsal does not.",
}


class StageFailedError(Exception):
    """A stage failed: which stage, which action, why, where its log is, and what only CodePipeline would do now."""

    def __init__(self, stage: Stage, action: str, error: ActionError) -> None:
        super().__init__(f"stage {stage.name}, action {action}: {error}{_BEYOND.get(stage.on_failure, '')}")
        self.stage, self.action, self.cause = stage.name, action, error
        self.log = error.log


class PipelineChangedError(Exception):
    """The pipeline changed its own definition: this execution is superseded by one of the new definition."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Everything that one execution needs.

    `providers` maps an action's provider (its category for approvals) to what runs it. `changed` answers whether the
    definition is another one by now; it is asked after every action outside the first stage.
    """

    pipeline: Pipeline
    commit_id: str
    artifacts: Path
    logs: Path
    providers: Mapping[str, Provider]
    timeline: Timeline
    cancelled: threading.Event
    changed: Callable[[], bool]

    def run(self) -> None:
        """Walk the pipeline to its end.

        Raises:
            StageFailedError: an action failed; no later stage was started.
            PipelineChangedError: the definition changed under the execution (self-mutation).
            CancelledError: `cancelled` was set.
        """
        execution_id = str(uuid.uuid4())
        artifacts = Artifacts(self.artifacts / execution_id)
        variables = Variables({"PipelineExecutionId": execution_id, "SourceRevision": self.commit_id})
        entries = {
            (stage.name, action.name): self.timeline.plan(stage.name, action.name, execution_id)
            for stage in self.pipeline.stages
            for step in stage.steps()
            for action in step
        }
        try:
            for stage in self.pipeline.stages:
                self._run_stage(stage, execution_id, artifacts, variables, entries)
        finally:
            for entry in entries.values():
                if entry.status is Status.PENDING:
                    self.timeline.end(entry, Status.ABANDONED)

    def _run_stage(
        self,
        stage: Stage,
        execution_id: str,
        artifacts: Artifacts,
        variables: Variables,
        entries: Mapping[tuple[str, str], Entry],
    ) -> None:
        for step in stage.steps():
            with ThreadPoolExecutor(max_workers=len(step), thread_name_prefix=stage.name) as pool:
                futures = [
                    (action, pool.submit(self._run_action, stage, action, execution_id, artifacts, variables, entries))
                    for action in step
                ]
            errors = [(action, error) for action, future in futures if (error := future.exception()) is not None]
            for action, error in errors:
                if isinstance(error, ActionError):
                    raise StageFailedError(stage, action.name, error) from error
            for _, error in errors:
                raise error
            if self.pipeline.restart_on_update and self.changed():
                msg = f"{stage.name} changed the definition of pipeline {self.pipeline.name}"
                raise PipelineChangedError(msg)

    def _run_action(
        self,
        stage: Stage,
        action: Action,
        execution_id: str,
        artifacts: Artifacts,
        variables: Variables,
        entries: Mapping[tuple[str, str], Entry],
    ) -> None:
        entry = entries[stage.name, action.name]
        if self.cancelled.is_set():
            msg = "the rehearsal is being stopped"
            raise CancelledError(msg)
        log = self.logs / f"{stage.name}.{action.name}.log"
        log.unlink(missing_ok=True)
        log.touch()
        self.timeline.begin(entry, log)
        around = Surroundings(
            stage=stage.name,
            execution_id=execution_id,
            artifacts=artifacts,
            variables=variables,
            log=log,
            progress=lambda text: self.timeline.progress(entry, text),
            cancelled=self.cancelled,
        )
        try:
            exported = self._provider(action).run(action, around)
        except CancelledError:
            self.timeline.end(entry, Status.ABANDONED, "stopped")
            raise
        except (ActionError, ArtifactError, UnknownVariableError) as error:
            failure = error if isinstance(error, ActionError) else ActionError(str(error), log=log)
            self.timeline.end(entry, Status.FAILED, str(failure))
            raise failure from error
        except BaseException as error:
            self.timeline.end(entry, Status.FAILED, f"{type(error).__name__}: {error}")
            raise
        if action.namespace:
            variables.export(action.namespace, exported)
        self.timeline.end(entry, Status.SUCCEEDED)

    def _provider(self, action: Action) -> Provider:
        key = action.category if action.category in ("Approval", "Source") else action.provider
        try:
            return self.providers[key]
        except KeyError:
            msg = f"the rehearsal does not know how to run {action.category} actions of provider {action.provider}"
            raise ActionError(msg) from None
