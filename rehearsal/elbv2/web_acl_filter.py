"""The web ACL in front of the listener rules of a load balancer."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from rehearsal.elbv2.proxy import RelayedResponse, error_response, origin_form, send_continue
from rehearsal.waf.log_records import log_record, summary
from rehearsal.waf.rate_based import Clock
from rehearsal.waf.web_acl import BlockResponse, WebAcl
from rehearsal.waf.web_request import INSPECTED_BODY_BYTES, WebRequest


@dataclass(frozen=True, kw_only=True)
class FilterResult:
    """The result for a request."""

    #: The response to a request that is not allowed.
    response: web.Response | None = None
    #: The part of the body that was read already; None if none was.
    body_start: bytes | None = None


class WebAclFilter:
    """Allows every request until it has a web ACL."""

    def __init__(
        self, *, logs: Path, notify: Callable[[str], None] = lambda _line: None, clock: Clock = time.monotonic
    ) -> None:
        self._logs = logs
        self._clock = clock
        self._notify = notify
        self._document: Mapping[str, Any] | None = None
        self._acl: WebAcl | None = None

    def update(self, document: Mapping[str, Any] | None) -> None:
        """Set the web ACL, in the form of WAFv2's API; an unchanged one keeps its rates, as on AWS.

        Raises:
            RehearsalError: The web ACL is not supported; the previous one stays.

        """
        if document == self._document:
            return
        acl = None if document is None else WebAcl.parse(document, clock=self._clock)
        self.close()
        self._document, self._acl = document, acl

    def close(self) -> None:
        """Report what the web ACL has counted, and remove it."""
        if self._acl is not None and (line := summary(self._acl)):
            self._notify(line)
        self._document = self._acl = None

    async def filter(self, request: web.BaseRequest, *, idle_timeout: float) -> FilterResult:
        """Evaluate the web ACL for a request; of its body only the inspected part is read."""
        acl = self._acl
        if acl is None:
            return FilterResult()
        body_start: bytes | None = None

        async def read_body() -> bytes:
            nonlocal body_start
            async with asyncio.timeout(idle_timeout):
                body_start = await _read_body_start(request)
            return body_start

        try:
            inspected, evaluation = await acl.evaluate(_web_request(request), read_body)
        except TimeoutError:
            return FilterResult(response=error_response(408))
        except ConnectionError:
            return FilterResult(response=error_response(460))
        response = evaluation.action.response
        if evaluation.terminating is not None or evaluation.counted or response is not None:
            self._write_log(acl, json.dumps(log_record(acl, inspected, evaluation)))
        return FilterResult(response=_block(response) if response else None, body_start=body_start)

    def _write_log(self, acl: WebAcl, line: str) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"web-acl-{acl.name}.log").open("a", encoding="utf-8") as log:
            log.write(line + "\n")


async def _read_body_start(request: web.BaseRequest) -> bytes:
    if not request.body_exists:
        return b""
    send_continue(request)
    body = bytearray()
    while len(body) < INSPECTED_BODY_BYTES and not request.content.at_eof():
        body += await request.content.readany()
    return bytes(body)


def _web_request(request: web.BaseRequest) -> WebRequest:
    path, _, query = (origin_form(request.raw_path) or "").partition("?")
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    return WebRequest(client=request.remote or "", method=request.method, path=path, query=query, headers=headers)


def _block(response: BlockResponse) -> web.Response:
    return RelayedResponse(
        status=response.status,
        body=response.body.encode(),
        content_type=response.content_type or None,
        headers={"Server": "awselb/2.0", **response.headers},
    )
