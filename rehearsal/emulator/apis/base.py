"""Answer some operations of one service, hand everything else on to the emulator.

Protocol: AWS JSON 1.1, where a header names the operation.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Json = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]


class ApiError(Exception):
    """An error answer; `code` as in the service's API reference."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


async def read_body(receive: Receive) -> bytes:
    """Read a request's body."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


class JsonApi:
    """An ASGI application with `operations` of the service whose requests are named `target` (`ECR_V1.Operation`).

    Operations run on a thread, where they may call the emulator. An operation that is not here is the emulator's.
    """

    def __init__(
        self, application: Application, *, target: str, operations: Mapping[str, Callable[[Json], Json]]
    ) -> None:
        self._application = application
        self._operations = {f"{target}.{name}".encode(): call for name, call in operations.items()}

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        name = dict(scope["headers"]).get(b"x-amz-target", b"") if scope["type"] == "http" else b""
        call = self._operations.get(name)
        if call is None:
            await self._application(scope, receive, send)
            return
        body = await read_body(receive)
        status, answer = await asyncio.to_thread(_answer, call, json.loads(body or b"{}"))
        headers = [(b"content-type", b"application/x-amz-json-1.1")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def _answer(call: Callable[[Json], Json], request: Json) -> tuple[int, Json]:
    try:
        return 200, call(request)
    except ApiError as error:
        return 400, {"__type": error.code, "message": str(error)}
