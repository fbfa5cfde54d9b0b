"""The control API: how the emulator's CloudFormation handlers have databases and services run.

    PUT    /databases/{identifier}                  {"endpoint", "reader_endpoint", "username", "password", "database"};
                                                    the identifier is that of the RDS cluster
    DELETE /databases/{identifier}
    PUT    /services/{cluster}/{service}            responds once the service is steady
    DELETE /services/{cluster}/{service}            responds once its tasks have stopped
    PUT    /services/{cluster}/{service}/capacity   {"min"}
    PUT    /load-balancers                          responds once they are as the account describes them

The status is 204, or with `{"reason"}` 400 (malformed request), 409 (failed) or 503 (not connected to an account).
"""

import json
import re
from typing import Any, Protocol

from aiohttp import web

from rehearsal.host.errors import NotConnectedError, RehearsalError
from rehearsal.host.sockets import listen
from rehearsal.rds.server import DatabaseSpec

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


class Operations(Protocol):
    """The operations behind the API."""

    async def put_database(self, spec: DatabaseSpec) -> None:
        """Start a database."""

    async def delete_database(self, identifier: str) -> None:
        """Delete a database."""

    async def put_service(self, cluster: str, name: str) -> None:
        """Deploy a service as the account describes it."""

    async def delete_service(self, cluster: str, name: str) -> None:
        """Stop a service."""

    async def put_capacity(self, cluster: str, name: str, minimum: int) -> None:
        """Set the minimum number of tasks."""

    async def put_load_balancers(self) -> None:
        """Update the load balancers and their web ACLs."""


class ControlApi:
    """Serves the API on a free loopback port."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Start listening, and set `url`."""
        application = web.Application(middlewares=[_explain_errors])
        application.add_routes(
            [
                web.put("/databases/{identifier}", self._put_database),
                web.delete("/databases/{identifier}", self._delete_database),
                web.put("/services/{cluster}/{service}", self._put_service),
                web.delete("/services/{cluster}/{service}", self._delete_service),
                web.put("/services/{cluster}/{service}/capacity", self._put_capacity),
                web.put("/load-balancers", self._put_load_balancers),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        socket = listen(0, "the control API")
        await web.SockSite(self._runner, socket).start()
        self.url = f"http://127.0.0.1:{socket.getsockname()[1]}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _put_database(self, request: web.Request) -> web.Response:
        body = await _read_body(request)
        spec = DatabaseSpec(
            identifier=_name(request, "identifier"),
            username=str(body["username"]),
            password=str(body["password"]),
            database=str(body.get("database") or "postgres"),
            endpoints=tuple(str(body[key]) for key in ("endpoint", "reader_endpoint") if body.get(key)),
        )
        await self._operations.put_database(spec)
        return web.Response(status=204)

    async def _delete_database(self, request: web.Request) -> web.Response:
        await self._operations.delete_database(_name(request, "identifier"))
        return web.Response(status=204)

    async def _put_service(self, request: web.Request) -> web.Response:
        await self._operations.put_service(_name(request, "cluster"), _name(request, "service"))
        return web.Response(status=204)

    async def _delete_service(self, request: web.Request) -> web.Response:
        await self._operations.delete_service(_name(request, "cluster"), _name(request, "service"))
        return web.Response(status=204)

    async def _put_capacity(self, request: web.Request) -> web.Response:
        body = await _read_body(request)
        await self._operations.put_capacity(_name(request, "cluster"), _name(request, "service"), int(body["min"]))
        return web.Response(status=204)

    async def _put_load_balancers(self, _request: web.Request) -> web.Response:
        await self._operations.put_load_balancers()
        return web.Response(status=204)


@web.middleware
async def _explain_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """Turn exceptions into responses with a reason."""
    try:
        response: web.StreamResponse = await handler(request)
    except NotConnectedError as error:
        return _error(503, str(error))
    except RehearsalError as error:
        return _error(409, str(error))
    except (KeyError, ValueError, TypeError) as error:
        return _error(400, f"{request.method} {request.path}: {error!r} is missing or malformed")
    return response


def _error(status: int, reason: str) -> web.Response:
    return web.json_response({"reason": reason}, status=status)


async def _read_body(request: web.Request) -> dict[str, Any]:
    body = json.loads(await request.text())
    if not isinstance(body, dict):
        raise TypeError("the body is not a JSON object")
    return body


def _name(request: web.Request, part: str) -> str:
    """Return a name from the path; names become file names, so that nothing else is allowed."""
    name = request.match_info[part]
    if not _NAME.fullmatch(name):
        raise ValueError(name)
    return name
