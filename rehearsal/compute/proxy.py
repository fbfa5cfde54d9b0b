"""Forwarding one request to a target, with the headers and the errors of an Application Load Balancer.

Source: "Application Load Balancers", user guide: HTTP headers, and "Troubleshoot your Application Load Balancers".
"""

import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, MutableMapping

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from rehearsal.compute.routing import FixedResponse
from rehearsal.compute.target_groups import Target

_HOP_BY_HOP = frozenset(
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]
)
_VALID_HEADER = re.compile(r"[A-Za-z0-9-]+")
_WHOLE_RESPONSES_UP_TO_BYTES = 64 * 1024
_REASONS = {
    400: "Bad Request",
    408: "Request Time-out",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


class RelayedStream(web.StreamResponse):
    """A target's answer, without the `Server` header that this library would add to it."""

    async def _prepare_headers(self) -> None:
        named = "Server" in self.headers
        await super()._prepare_headers()
        if not named:
            self.headers.popall("Server", None)


class RelayedResponse(RelayedStream, web.Response):
    """The same for an answer that is short enough to hold."""


def error_response(status: int) -> web.Response:
    """Return the page that a load balancer makes itself."""
    title = f"{status} {_REASONS[status]}"
    head, heading = f"<head><title>{title}</title></head>", f"<center><h1>{title}</h1></center>"
    body = f"<html>\r\n{head}\r\n<body>\r\n{heading}\r\n</body>\r\n</html>\r\n"
    return RelayedResponse(status=status, text=body, content_type="text/html", headers={"Server": "awselb/2.0"})


def origin_form(target: str) -> str | None:
    """A request's target as a path with its query; ``None`` where it has none, as `*` and `host:port`."""
    if target.startswith("/"):
        return target
    absolute = re.fullmatch(r"https?://[^/?#]+(/[^#]*)?", target, re.IGNORECASE)
    return absolute and (absolute[1] or "/")


def fixed_response(action: FixedResponse) -> web.Response:
    """Return the answer of a fixed-response action."""
    return RelayedResponse(
        status=action.status,
        text=action.body,
        content_type=action.content_type,
        headers={"Server": "awselb/2.0"},
    )


async def forward(
    request: web.BaseRequest,
    target: Target,
    *,
    protocol: str,
    scheme: str,
    port: int,
    idle_timeout: float,
    drop_invalid_headers: bool,
    dress: Callable[[MutableMapping[str, str]], None],
    beginning: bytes | None = None,
) -> web.StreamResponse:
    """Forward a request over `protocol`; the client came over `scheme` to the listener's `port`.

    `beginning` is what was read of its body already, if anybody did.
    """
    headers = _request_headers(request, scheme=scheme, port=port, drop_invalid=drop_invalid_headers)
    url = URL(f"{protocol.lower()}://{target}{origin_form(request.raw_path)}", encoded=True)
    if beginning is None:
        continue_request(request)
    try:
        async with target.session.request(
            request.method,
            url,
            headers=headers,
            data=_body(request, beginning or b"") if request.body_exists else None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=idle_timeout),
        ) as answer:
            return await _relay(request, answer, dress)
    except TimeoutError:
        return error_response(504)
    except aiohttp.ClientError:
        return error_response(502)


def continue_request(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to send the body."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _body(request: web.BaseRequest, beginning: bytes) -> AsyncIterator[bytes]:
    if beginning:
        yield beginning
    async for chunk in request.content.iter_any():
        yield chunk


async def _relay(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, dress: Callable[[MutableMapping[str, str]], None]
) -> web.StreamResponse:
    headers = _end_to_end(answer.headers)
    dress(headers)
    length = answer.content_length
    if length is not None and length <= _WHOLE_RESPONSES_UP_TO_BYTES:
        body = await answer.read()
        if request.method != "HEAD":  # whose answer keeps the length of what GET would send
            headers.popall("Content-Length", None)
        return RelayedResponse(status=answer.status, reason=answer.reason, headers=headers, body=body or None)
    response = RelayedStream(status=answer.status, reason=answer.reason, headers=headers)
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
    except (aiohttp.ClientError, TimeoutError):
        # Half of the answer is out: only a cut connection tells the client that the rest is missing.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def _request_headers(request: web.BaseRequest, *, scheme: str, port: int, drop_invalid: bool) -> CIMultiDict[str]:
    headers = _end_to_end(request.headers)
    headers.popall("Expect", None)
    if drop_invalid:
        for name in [name for name in headers if not _VALID_HEADER.fullmatch(name)]:
            headers.popall(name, None)
    forwarded = [*request.headers.getall("X-Forwarded-For", []), request.remote or ""]
    headers["X-Forwarded-For"] = ", ".join(forwarded)
    headers["X-Forwarded-Proto"] = scheme
    headers["X-Forwarded-Port"] = str(port)
    headers["X-Amzn-Trace-Id"] = _trace_id(request.headers.get("X-Amzn-Trace-Id"))
    return headers


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    named = {name.strip().lower() for value in headers.getall("Connection", []) for name in value.split(",")}
    dropped = _HOP_BY_HOP | named
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def _trace_id(received: str | None) -> str:
    """Return a new trace id, or add our own `Self` to one that the client sent."""
    fresh = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    if received is None:
        return f"Root={fresh}"
    kept = ";".join(part for part in received.split(";") if not part.startswith("Self="))
    return f"Self={fresh};{kept}"
