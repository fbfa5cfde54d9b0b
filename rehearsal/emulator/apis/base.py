"""Implementation of some operations of a service; all other requests go to the emulator.

The protocol is AWS JSON 1.1, in which a header has the name of the operation.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from rehearsal.emulator.authorization.authority import Authority
from rehearsal.emulator.authorization.calls import AccessDeniedError, Call
from rehearsal.emulator.authorization.requests import signer

Json = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]


class ApiError(Exception):
    """An error response; `code` as in the API reference of the service."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


async def read_body(receive: Receive) -> bytes:
    """Read the body of a request."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


class JsonApi:
    """An ASGI application with some operations of a service.

    Operations run on a worker thread, where they may call the emulator, once the call is authorized.

    Args:
        application: The application behind this one.
        target: The prefix of `X-Amz-Target`, such as `ECR_V1` in `ECR_V1.Operation`.
        service: The prefix of the IAM actions.
        operations: Functions by operation name.
        resource: Returns the ARN that a request is about.
        authority: Authorizes the calls.

    """

    def __init__(
        self,
        application: Application,
        *,
        target: str,
        service: str,
        operations: Mapping[str, Callable[[Json], Json]],
        resource: Callable[[Json], str],
        authority: Authority,
    ) -> None:
        self._application = application
        self._operations = {f"{target}.{name}".encode(): call for name, call in operations.items()}
        self._service, self._resource, self._authority = service, resource, authority

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve a request."""
        name = dict(scope["headers"]).get(b"x-amz-target", b"") if scope["type"] == "http" else b""
        call = self._operations.get(name)
        if call is None:
            await self._application(scope, receive, send)
            return
        request = json.loads(await read_body(receive) or b"{}")
        action = f"{self._service}:{name.decode().rpartition('.')[2]}"
        principal = signer(dict(scope["headers"]).get(b"authorization", b"").decode())
        status, response = await asyncio.to_thread(self._serve, call, request, action, principal)
        headers = [(b"content-type", b"application/x-amz-json-1.1")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(response).encode()})

    def _serve(
        self, call: Callable[[Json], Json], request: Json, action: str, principal: str | None
    ) -> tuple[int, Json]:
        try:
            if principal is not None:
                authorized = Call(principal=principal, action=action, resource=self._resource(request))
                self._authority.require(authorized, by="request")
            return 200, call(request)
        except AccessDeniedError as error:
            return 400, {"__type": "AccessDeniedException", "message": str(error)}
        except ApiError as error:
            return 400, {"__type": error.code, "message": str(error)}
