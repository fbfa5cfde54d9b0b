"""The part of CodePipeline's API with which a recorded pipeline is inspected and stopped.

The rehearsal itself executes pipelines; an execution that is started here does nothing until it is stopped.
Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_Operations.html
"""

import uuid
from collections import defaultdict

import boto3.session

from rehearsal.account.records import Records
from rehearsal.account.sessions import ACCOUNT_ID, REGION
from rehearsal.emulator.apis.base import ApiError, Application, Json, JsonApi
from rehearsal.emulator.authorization.authority import Authority
from rehearsal.emulator.core.api_shapes import to_api

_TYPE_NAME = "AWS::CodePipeline::Pipeline"


def _pipeline(request: Json) -> str:
    """Return the ARN of the pipeline or stage in a request."""
    name = request.get("name") or request.get("pipelineName")
    stage = f"/{request['stageName']}" if "stageName" in request else ""
    return f"arn:aws:codepipeline:{REGION}:{ACCOUNT_ID}:{name}{stage}" if name else "*"


class CodePipelineApi(JsonApi):
    """Recorded pipelines, their executions and their transitions."""

    def __init__(self, application: Application, records: Records, authority: Authority) -> None:
        super().__init__(
            application,
            target="CodePipeline_20150709",
            service="codepipeline",
            resource=_pipeline,
            authority=authority,
            operations={
                "DisableStageTransition": self._disable_stage_transition,
                "GetPipeline": self._get_pipeline,
                "GetPipelineState": self._get_pipeline_state,
                "ListPipelineExecutions": self._list_pipeline_executions,
                "StartPipelineExecution": self._start_pipeline_execution,
                "StopPipelineExecution": self._stop_pipeline_execution,
            },
        )
        self._records = records
        self._model = boto3.session.Session(region_name="us-east-1").client("codepipeline")
        self._executions: dict[str, dict[str, str]] = defaultdict(dict)
        self._disabled: dict[str, dict[str, str]] = defaultdict(dict)

    def _declaration(self, name: str) -> Json:
        properties = self._records.read(_TYPE_NAME, name)
        if properties is None:
            raise ApiError("PipelineNotFoundException", f"The account with id 000000000000 has no pipeline {name!r}")
        members = ("Name", "RoleArn", "Stages", "PipelineType", "ExecutionMode")
        pipeline = {member: properties[member] for member in members if member in properties}
        declaration: Json = to_api(self._model, "CreatePipeline", {"pipeline": pipeline})["pipeline"]
        return {**declaration, "version": 1}

    def _get_pipeline(self, request: Json) -> Json:
        return {"pipeline": self._declaration(request["name"])}

    def _get_pipeline_state(self, request: Json) -> Json:
        name = request["name"]
        disabled = self._disabled[name]
        return {
            "pipelineName": name,
            "pipelineVersion": 1,
            "stageStates": [
                {
                    "stageName": stage["name"],
                    "inboundTransitionState": {"enabled": stage["name"] not in disabled}
                    | ({"disabledReason": disabled[stage["name"]]} if stage["name"] in disabled else {}),
                }
                for stage in self._declaration(name)["stages"]
            ],
        }

    def _disable_stage_transition(self, request: Json) -> Json:
        name, stage = request["pipelineName"], request["stageName"]
        if stage not in [entry["name"] for entry in self._declaration(name)["stages"]]:
            raise ApiError("StageNotFoundException", f"pipeline {name} has no stage {stage}")
        self._disabled[name][stage] = request["reason"]
        return {}

    def _start_pipeline_execution(self, request: Json) -> Json:
        self._declaration(request["name"])
        execution = str(uuid.uuid4())
        self._executions[request["name"]][execution] = "InProgress"
        return {"pipelineExecutionId": execution}

    def _stop_pipeline_execution(self, request: Json) -> Json:
        name, execution = request["pipelineName"], request["pipelineExecutionId"]
        if self._executions[name].get(execution) != "InProgress":
            raise ApiError("PipelineExecutionNotStoppableException", f"{execution} of {name} is not running")
        self._executions[name][execution] = "Stopped"
        return {"pipelineExecutionId": execution}

    def _list_pipeline_executions(self, request: Json) -> Json:
        executions = self._executions[request["pipelineName"]]
        return {
            "pipelineExecutionSummaries": [
                {"pipelineExecutionId": execution, "status": status} for execution, status in executions.items()
            ]
        }
