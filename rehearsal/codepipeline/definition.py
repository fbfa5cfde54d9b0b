"""The pipeline definition as CloudFormation resolved it (AWS::CodePipeline::Pipeline), in typed form.

Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/reference-pipeline-structure.html
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

# A definition is JSON whose shape depends on the action's provider.
Json = Mapping[str, Any]


class DefinitionError(Exception):
    """The pipeline definition holds something that this walk cannot follow; the message says what and where."""


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
        """Read one action declaration; a missing name or type is a `DefinitionError`."""
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
            msg = f"action {data.get('Name', '?')} of the pipeline definition has no {error}"
            raise DefinitionError(msg) from error


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage: its actions, and what happens when it fails (`OnFailure.Result`: FAIL, ROLLBACK, RETRY or SKIP)."""

    name: str
    actions: tuple[Action, ...]
    on_failure: str = "FAIL"

    def steps(self) -> list[list[Action]]:
        """The actions in groups of equal run order, ascending; the actions of a group run side by side."""
        ordered = sorted(self.actions, key=lambda action: action.run_order)
        return [list(group) for _, group in groupby(ordered, key=lambda action: action.run_order)]


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A pipeline: its stages in order."""

    name: str
    stages: tuple[Stage, ...]
    role_arn: str
    pipeline_type: str = "V1"
    execution_mode: str = "SUPERSEDED"
    restart_on_update: bool = False
    artifact_bucket: str = ""
    fingerprint: str = field(default="", compare=False)

    def cloning_source(self, artifact: str) -> Action | None:
        """Return the source action whose artifact is a reference that a build clones; None for any other artifact."""
        for action in self.stages[0].actions:
            if artifact in action.outputs and action.configuration.get("OutputArtifactFormat") == "CODEBUILD_CLONE_REF":
                return action
        return None

    @classmethod
    def parse(cls, data: Json) -> "Pipeline":
        """Read the resolved properties of an AWS::CodePipeline::Pipeline."""
        stages = tuple(
            Stage(
                name=stage["Name"],
                actions=tuple(Action.parse(action) for action in stage["Actions"]),
                on_failure=stage.get("OnFailure", {}).get("Result", "FAIL"),
            )
            for stage in data.get("Stages", ())
        )
        if len(stages) < 2:  # CodePipeline's own rule: a source stage and one more
            msg = f"pipeline {data.get('Name', '?')} has {len(stages)} stages; CodePipeline needs at least two"
            raise DefinitionError(msg)
        return cls(
            name=data["Name"],
            stages=stages,
            role_arn=_text(data.get("RoleArn", "")),
            pipeline_type=data.get("PipelineType", "V1"),
            execution_mode=data.get("ExecutionMode", "SUPERSEDED"),
            restart_on_update=_text(data.get("RestartExecutionOnUpdate", False)) == "true",
            artifact_bucket=_artifact_bucket(data),
            fingerprint=hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest(),
        )


def _artifact_bucket(data: Json) -> str:
    """The artifact bucket; with actions in several regions, that of the first."""
    stores = [data["ArtifactStore"]] if "ArtifactStore" in data else []
    stores += [store["ArtifactStore"] for store in data.get("ArtifactStores", ())]
    return str(stores[0].get("Location", "")) if stores else ""


def _text(value: object) -> str:
    """A configuration value as CodePipeline hands it on: always a string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)
