"""The rehearsal's own questions to the emulated account, beside the AWS APIs: `POST /_rehearsal/<question>`, in JSON.

`credentials` gives those of a role to a service, `decide` decides a call of a service that the rehearsal plays,
`deliveries` decides what services will do in their own name with all that stands now, `decisions` tells what was
decided so far, and `policies` by which policies it would be decided now.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from rehearsal.emulator import backend
from rehearsal.emulator.apis.base import Application, Receive, Send, read_body
from rehearsal.emulator.authorization.authority import Authority
from rehearsal.emulator.authorization.calls import AccessDeniedError
from rehearsal.emulator.authorization.deliveries import DeferredDeliveries
from rehearsal.emulator.authorization.journal import call_from_json

PREFIX = "/_rehearsal/"


class AuthorizationApi:
    """An ASGI application in front of the emulator."""

    def __init__(self, application: Application, authority: Authority, deliveries: DeferredDeliveries) -> None:
        self._application = application
        self._authority = authority
        self._deliveries = deliveries
        self._questions: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
            "credentials": self._credentials,
            "decide": self._decide,
            "decisions": self._decisions,
            "deliveries": self._verify_deliveries,
            "policies": lambda _request: self._authority.snapshot(),
        }

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a question, or hand the request on."""
        question = self._questions.get(str(scope.get("path", "")).removeprefix(PREFIX))
        if scope["type"] != "http" or question is None or not scope["path"].startswith(PREFIX):
            await self._application(scope, receive, send)
            return
        body = json.loads(await read_body(receive) or b"{}")
        status, answer = await asyncio.to_thread(_answer, question, body)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _credentials(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._authority.assume(
            request["role"],
            service=request["service"],
            session=request["session"],
            context=request.get("context", {}),
        )

    def _decide(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        with backend.in_region(request.get("region")):
            policy = request.get("resource_policy")
            self._authority.require(call_from_json(request), by="service", resource_policy=policy)
        return {}

    def _verify_deliveries(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"denials": self._deliveries.denials()}

    def _decisions(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        journal = self._authority.journal
        return {"decisions": journal.entries(), "undecided": journal.undecided()}


def _answer(
    question: Callable[[Mapping[str, Any]], Mapping[str, Any]], request: Mapping[str, Any]
) -> tuple[int, Mapping[str, Any]]:
    try:
        return 200, question(request)
    except AccessDeniedError as error:
        return 403, {"message": str(error)}
