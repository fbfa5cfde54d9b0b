"""The part of CodePipeline's API that somebody needs who looks at a recorded pipeline or stops it.

The rehearsal itself executes pipelines; here an execution is only something that was started and can be stopped.
Protocol: AWS JSON 1.1, https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_Operations.html
"""

import json
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import boto3.session

from rehearsal.emulator.handlers.api import to_api
from rehearsal.emulator.records import Records

Json = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]

TYPE_NAME = "AWS::CodePipeline::Pipeline"
_TARGET = b"CodePipeline_20150709."


class _ApiError(Exception):
    """An error answer; `code` as in the API reference."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class CodePipelineApi:
    """An ASGI application that answers for CodePipeline and hands everything else on to the emulator's."""

    def __init__(self, application: Application, records: Records) -> None:
        self._application = application
        self._records = records
        self._model = boto3.session.Session(region_name="us-east-1").client("codepipeline")
        self._executions: dict[str, dict[str, str]] = defaultdict(dict)
        self._disabled: dict[str, dict[str, str]] = defaultdict(dict)
        self._operations: dict[str, Callable[[Json], Json]] = {
            "DisableStageTransition": self._disable_stage_transition,
            "GetPipeline": self._get_pipeline,
            "GetPipelineState": self._get_pipeline_state,
            "ListPipelineExecutions": self._list_pipeline_executions,
            "ListPipelines": self._list_pipelines,
            "StartPipelineExecution": self._start_pipeline_execution,
            "StopPipelineExecution": self._stop_pipeline_execution,
        }

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        target = dict(scope["headers"]).get(b"x-amz-target", b"") if scope["type"] == "http" else b""
        if not target.startswith(_TARGET):
            await self._application(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, answer = self._answer(target.removeprefix(_TARGET).decode(), json.loads(body or b"{}"))
        headers = [(b"content-type", b"application/x-amz-json-1.1")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _answer(self, operation: str, request: Json) -> tuple[int, Json]:
        call = self._operations.get(operation)
        if call is None:
            return 400, {"__type": "UnknownOperationException", "message": f"{operation} is not emulated"}
        try:
            return 200, call(request)
        except _ApiError as error:
            return 400, {"__type": error.code, "message": str(error)}

    def _declaration(self, name: str) -> Json:
        properties = self._records.read(TYPE_NAME, name)
        if properties is None:
            raise _ApiError("PipelineNotFoundException", f"The account with id 000000000000 has no pipeline {name!r}")
        members = ("Name", "RoleArn", "Stages", "PipelineType", "ExecutionMode")
        pipeline = {member: properties[member] for member in members if member in properties}
        declaration: Json = to_api(self._model, "CreatePipeline", {"pipeline": pipeline})["pipeline"]
        return {**declaration, "version": 1}

    def _get_pipeline(self, request: Json) -> Json:
        return {"pipeline": self._declaration(request["name"])}

    def _list_pipelines(self, request: Json) -> Json:  # noqa: ARG002  it takes only paging
        names = sorted(self._records.ids().get(TYPE_NAME, ()))
        return {"pipelines": [{"name": name, "version": 1} for name in names]}

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
        if stage not in [one["name"] for one in self._declaration(name)["stages"]]:
            raise _ApiError("StageNotFoundException", f"pipeline {name} has no stage {stage}")
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
            raise _ApiError("PipelineExecutionNotStoppableException", f"{execution} of {name} does not run")
        self._executions[name][execution] = "Stopped"
        return {"pipelineExecutionId": execution}

    def _list_pipeline_executions(self, request: Json) -> Json:
        executions = self._executions[request["pipelineName"]]
        return {
            "pipelineExecutionSummaries": [
                {"pipelineExecutionId": execution, "status": status} for execution, status in executions.items()
            ]
        }
