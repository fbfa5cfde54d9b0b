"""The control API: how the emulator's CloudFormation handlers make databases and services real.

    PUT    /databases/{identifier}                  {"endpoint", "reader_endpoint", "port", "username", "password",
                                                     "database"}
    DELETE /databases/{identifier}                  the identifier is the RDS cluster's
    PUT    /services/{cluster}/{service}            answers once the service is steady, 409 when the deployment failed
    DELETE /services/{cluster}/{service}            answers once its tasks have ended
    PUT    /services/{cluster}/{service}/capacity   {"min", "max"}
    PUT    /load-balancers                          answers once they are as the account says, behind their web ACLs;
                                                    409 when a web ACL has something that cannot be done here

Answers are 204, or `{"reason": "..."}` with 400 (a malformed request), 409 (it failed) or 503 (no account yet).
"""

import json
import re
from typing import Any, Protocol

from aiohttp import web

from rehearsal.compute.databases import DatabaseSpec
from rehearsal.compute.errors import ComputeError, NotConnectedError
from rehearsal.compute.load_balancer import listen

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


class Operations(Protocol):
    """What the API does."""

    async def put_database(self, spec: DatabaseSpec) -> None:
        """Start a database."""

    async def delete_database(self, identifier: str) -> None:
        """Delete a database."""

    async def put_service(self, cluster: str, name: str) -> None:
        """Deploy a service as the account describes it."""

    async def delete_service(self, cluster: str, name: str) -> None:
        """Stop a service."""

    async def put_capacity(self, cluster: str, name: str, minimum: int) -> None:
        """Set the least number of tasks."""

    async def put_load_balancers(self) -> None:
        """Read the load balancers and their web ACLs again."""


class ControlApi:
    """Serves the API on a free loopback port."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Start to listen; `url` is known afterwards."""
        application = web.Application(middlewares=[_explain])
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
        listening = listen(0, "the control API")
        await web.SockSite(self._runner, listening).start()
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"

    async def stop(self) -> None:
        """Stop to listen."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _put_database(self, request: web.Request) -> web.Response:
        body = await _body(request)
        spec = DatabaseSpec(
            identifier=_name(request, "identifier"),
            username=str(body["username"]),
            password=str(body["password"]),
            database=str(body.get("database") or "postgres"),
            port=int(body.get("port") or 5432),
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
        body = await _body(request)
        await self._operations.put_capacity(_name(request, "cluster"), _name(request, "service"), int(body["min"]))
        return web.Response(status=204)

    async def _put_load_balancers(self, request: web.Request) -> web.Response:  # noqa: ARG002
        await self._operations.put_load_balancers()
        return web.Response(status=204)


@web.middleware
async def _explain(request: web.Request, handler: Any) -> web.StreamResponse:
    """Turn errors into answers that say what is wrong."""
    try:
        answer: web.StreamResponse = await handler(request)
    except NotConnectedError as error:
        return _reason(503, str(error))
    except ComputeError as error:
        return _reason(409, str(error))
    except (KeyError, ValueError, TypeError) as error:
        return _reason(400, f"{request.method} {request.path}: {error!r} is missing or malformed")
    return answer


def _reason(status: int, reason: str) -> web.Response:
    return web.json_response({"reason": reason}, status=status)


async def _body(request: web.Request) -> dict[str, Any]:
    body = json.loads(await request.text())
    if not isinstance(body, dict):
        raise TypeError("the body is no JSON object")
    return body


def _name(request: web.Request, part: str) -> str:
    """Return a name from the path; names become file names, so nothing else may be in them."""
    name = request.match_info[part]
    if not _NAME.fullmatch(name):
        raise ValueError(name)
    return name
