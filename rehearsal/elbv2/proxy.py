"""Forwarding of a request to a target, with the headers and the errors of an Application Load Balancer.

Source: "Application Load Balancers", user guide: HTTP headers, and "Troubleshoot your Application Load Balancers".
"""

import re
import secrets
import time
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from rehearsal.elbv2.routing import ListenerSettings, LoadBalancerSettings
from rehearsal.elbv2.target_groups import Target

_HOP_BY_HOP = frozenset(
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]
)
_VALID_HEADER = re.compile(r"[A-Za-z0-9-]+")
_BUFFERED_RESPONSE_BYTES = 64 * 1024
_REASONS = {
    400: "Bad Request",
    408: "Request Time-out",
    460: "Client Closed Connection",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


class RelayedStream(web.StreamResponse):
    """A target's response, without the `Server` header that aiohttp would add."""

    async def _prepare_headers(self) -> None:
        has_server = "Server" in self.headers
        await super()._prepare_headers()
        if not has_server:
            self.headers.popall("Server", None)


class RelayedResponse(RelayedStream, web.Response):
    """A response that is short enough to be buffered."""


def error_response(status: int) -> web.Response:
    """Return an error page of a load balancer."""
    title = f"{status} {_REASONS[status]}"
    head, heading = f"<head><title>{title}</title></head>", f"<center><h1>{title}</h1></center>"
    body = f"<html>\r\n{head}\r\n<body>\r\n{heading}\r\n</body>\r\n</html>\r\n"
    return RelayedResponse(status=status, text=body, content_type="text/html", headers={"Server": "awselb/2.0"})


def origin_form(target: str) -> str | None:
    """Return a request target as a path with its query; None for a target without one (`*`, `host:port`)."""
    if target.startswith("/"):
        return target
    absolute = re.fullmatch(r"https?://[^/?#]+(/[^#]*)?", target, re.IGNORECASE)
    return absolute and (absolute[1] or "/")


async def forward(
    request: web.BaseRequest,
    target: Target,
    *,
    protocol: str,
    load_balancer: LoadBalancerSettings,
    listener: ListenerSettings,
    body_start: bytes | None,
) -> web.StreamResponse:
    """Forward a request to a target.

    Args:
        request: The request.
        target: The target.
        protocol: The protocol of the target group.
        load_balancer: The load balancer.
        listener: The listener that received the request.
        body_start: The part of the body that was read already; None if none was.

    """
    url = URL(f"{protocol.lower()}://{target}{origin_form(request.raw_path)}", encoded=True)
    if body_start is None:
        send_continue(request)
    try:
        async with target.session.request(
            request.method,
            url,
            headers=_request_headers(request, load_balancer, listener),
            data=_body(request, body_start or b"") if request.body_exists else None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=load_balancer.idle_timeout),
        ) as response:
            return await _relay(request, response, listener)
    except TimeoutError:
        return error_response(504)
    except aiohttp.ClientError:
        has_left = request.transport is None or request.transport.is_closing()
        return error_response(460 if has_left else 502)


def send_continue(request: web.BaseRequest) -> None:
    """Send `100 Continue` to a client that expects it before it sends the body."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _body(request: web.BaseRequest, body_start: bytes) -> AsyncIterator[bytes]:
    if body_start:
        yield body_start
    async for chunk in request.content.iter_any():
        yield chunk


async def _relay(
    request: web.BaseRequest, received: aiohttp.ClientResponse, listener: ListenerSettings
) -> web.StreamResponse:
    headers = _end_to_end_headers(received.headers)
    listener.adapt_headers(headers)
    length = received.content_length
    if length is not None and length <= _BUFFERED_RESPONSE_BYTES:
        body = await received.read()
        if request.method != "HEAD":  # the response to HEAD keeps the length of the response to GET
            headers.popall("Content-Length", None)
        return RelayedResponse(status=received.status, reason=received.reason, headers=headers, body=body or None)
    response = RelayedStream(status=received.status, reason=received.reason, headers=headers)
    await response.prepare(request)
    try:
        async for chunk in received.content.iter_any():
            await response.write(chunk)
    except (aiohttp.ClientError, TimeoutError):
        # A part of the response is sent: only an aborted connection tells the client that the rest is missing.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def _request_headers(
    request: web.BaseRequest, load_balancer: LoadBalancerSettings, listener: ListenerSettings
) -> CIMultiDict[str]:
    headers = _end_to_end_headers(request.headers)
    headers.popall("Expect", None)
    if load_balancer.drop_invalid_headers:
        for name in [name for name in headers if not _VALID_HEADER.fullmatch(name)]:
            headers.popall(name, None)
    forwarded = [*request.headers.getall("X-Forwarded-For", []), request.remote or ""]
    headers["X-Forwarded-For"] = ", ".join(forwarded)
    headers["X-Forwarded-Proto"] = listener.protocol.lower()
    headers["X-Forwarded-Port"] = str(listener.port)
    headers["X-Amzn-Trace-Id"] = _trace_id(request.headers.get("X-Amzn-Trace-Id"))
    return headers


def _end_to_end_headers(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    named = {name.strip().lower() for value in headers.getall("Connection", []) for name in value.split(",")}
    dropped = _HOP_BY_HOP | named
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def _trace_id(received: str | None) -> str:
    """Return a new trace id, or the received one with a new `Self` field."""
    fresh = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    if received is None:
        return f"Root={fresh}"
    kept = ";".join(part for part in received.split(";") if not part.startswith("Self="))
    return f"Self={fresh};{kept}"
