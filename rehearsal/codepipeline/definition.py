"""The definition of a pipeline: the resolved properties of its AWS::CodePipeline::Pipeline, typed.

Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/reference-pipeline-structure.html
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

#: JSON whose shape depends on the provider of each action.
Json = Mapping[str, Any]


class DefinitionError(Exception):
    """The pipeline definition is incomplete or invalid."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """One action of a stage."""

    name: str
    category: str
    provider: str
    configuration: Mapping[str, str]
    run_order: int = 1
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    namespace: str | None = None
    region: str | None = None
    role_arn: str | None = None

    @classmethod
    def parse(cls, data: Json) -> "Action":
        """Parse an action declaration.

        Raises:
            DefinitionError: The name or the type is missing.

        """
        try:
            type_id = data["ActionTypeId"]
            return cls(
                name=data["Name"],
                category=type_id["Category"],
                provider=type_id["Provider"],
                configuration={key: _text(value) for key, value in data.get("Configuration", {}).items()},
                run_order=int(data.get("RunOrder", 1)),
                inputs=tuple(item["Name"] for item in data.get("InputArtifacts", ())),
                outputs=tuple(item["Name"] for item in data.get("OutputArtifacts", ())),
                namespace=data.get("Namespace"),
                region=data.get("Region"),
                role_arn=data.get("RoleArn"),
            )
        except KeyError as error:
            raise DefinitionError(
                f"action {data.get('Name', '?')} of the pipeline definition has no {error}"
            ) from error


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage; `on_failure` is its `OnFailure.Result` (FAIL, ROLLBACK, RETRY or SKIP)."""

    name: str
    actions: tuple[Action, ...]
    on_failure: str = "FAIL"

    def action_groups(self) -> list[list[Action]]:
        """Return the actions grouped by run order, ascending; the actions of a group run in parallel."""
        ordered = sorted(self.actions, key=lambda action: action.run_order)
        return [list(group) for _, group in groupby(ordered, key=lambda action: action.run_order)]


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A pipeline; `fingerprint` changes whenever its definition does."""

    name: str
    stages: tuple[Stage, ...]
    role_arn: str
    restart_on_update: bool = False
    artifact_bucket: str = ""
    fingerprint: str = field(default="", compare=False)

    def cloned_source(self, artifact: str) -> Action | None:
        """Return the source action whose output artifact builds clone (CODEBUILD_CLONE_REF), if it is such a one."""
        for action in self.stages[0].actions:
            if artifact in action.outputs and action.configuration.get("OutputArtifactFormat") == "CODEBUILD_CLONE_REF":
                return action
        return None

    @classmethod
    def parse(cls, data: Json) -> "Pipeline":
        """Parse the resolved properties of an AWS::CodePipeline::Pipeline.

        Raises:
            DefinitionError: The definition is incomplete.

        """
        stages = tuple(
            Stage(
                name=stage["Name"],
                actions=tuple(Action.parse(action) for action in stage["Actions"]),
                on_failure=stage.get("OnFailure", {}).get("Result", "FAIL"),
            )
            for stage in data.get("Stages", ())
        )
        if len(stages) < 2:  # CodePipeline's rule: a source stage and one more
            raise DefinitionError(f"pipeline {data.get('Name', '?')} has {len(stages)} stages; it needs at least two")
        return cls(
            name=data["Name"],
            stages=stages,
            role_arn=_text(data.get("RoleArn", "")),
            restart_on_update=_text(data.get("RestartExecutionOnUpdate", False)) == "true",
            artifact_bucket=str(data.get("ArtifactStore", {}).get("Location", "")),
            fingerprint=hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest(),
        )


def _text(value: object) -> str:
    """Return a configuration value as CodePipeline passes it on: always a string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)
