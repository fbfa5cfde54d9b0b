"""The emulator's authorization API: `POST /_rehearsal/<operation>` with JSON; see `AuthorizationClient`.

`credentials` assumes a role for a service, `decide` authorizes a call, `service-calls` authorizes what services do in
their own name with the resources that exist, `decisions` and `policies` return the decisions so far and the policies.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from rehearsal.emulator.apis.base import Application, Receive, Send, read_body
from rehearsal.emulator.authorization.authority import Authority
from rehearsal.emulator.authorization.calls import AccessDeniedError
from rehearsal.emulator.authorization.decision_log import call_from_json
from rehearsal.emulator.authorization.service_calls import DeferredServiceCalls
from rehearsal.emulator.core import ministack

_PREFIX = "/_rehearsal/"

Operation = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class AuthorizationApi:
    """An ASGI application in front of the emulator."""

    def __init__(self, application: Application, authority: Authority, service_calls: DeferredServiceCalls) -> None:
        self._application = application
        self._authority = authority
        self._service_calls = service_calls
        self._operations: Mapping[str, Operation] = {
            "credentials": self._credentials,
            "decide": self._decide,
            "decisions": self._decisions,
            "policies": lambda _request: self._authority.snapshot(),
            "service-calls": lambda _request: {"denials": self._service_calls.denials()},
        }

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve a request, or pass it on."""
        path = str(scope.get("path", ""))
        operation = self._operations.get(path.removeprefix(_PREFIX)) if path.startswith(_PREFIX) else None
        if scope["type"] != "http" or operation is None:
            await self._application(scope, receive, send)
            return
        body = json.loads(await read_body(receive) or b"{}")
        status, response = await asyncio.to_thread(_serve, operation, body)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(response).encode()})

    def _credentials(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._authority.assume(
            request["role"],
            service=request["service"],
            session=request["session"],
            context=request.get("context", {}),
        )

    def _decide(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        with ministack.in_region(request.get("region")):
            policy = request.get("resource_policy")
            self._authority.require(call_from_json(request), by="service", resource_policy=policy)
        return {}

    def _decisions(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        log = self._authority.decision_log
        return {"decisions": log.entries(), "undecided": log.undecided()}


def _serve(operation: Operation, request: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
    try:
        return 200, operation(request)
    except AccessDeniedError as error:
        return 403, {"message": str(error)}
