"""The place in front of a load balancer's listener rules where its web ACL decides."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from rehearsal.compute.firewall.inspection import BODY_BYTES, WebRequest
from rehearsal.compute.firewall.rates import Clock
from rehearsal.compute.firewall.records import record, summary
from rehearsal.compute.firewall.web_acl import Answer, WebAcl
from rehearsal.compute.proxy import RelayedResponse, continue_request, error_response, origin_form


@dataclass(frozen=True, kw_only=True)
class Passage:
    """What the gate says: `response` is none for whoever may pass, `beginning` what was read of the body, if it was."""

    response: web.Response | None = None
    beginning: bytes | None = None


class Gate:
    """Lets everything through until it has a web ACL."""

    def __init__(
        self, *, logs: Path, notify: Callable[[str], None] = lambda _line: None, clock: Clock = time.monotonic
    ) -> None:
        self._logs = logs
        self._clock = clock
        self._notify = notify
        self._document: Mapping[str, Any] | None = None
        self._acl: WebAcl | None = None

    def update(self, document: Mapping[str, Any] | None) -> None:
        """Take another web ACL, as WAFv2 describes it. The same one keeps its rates, as on AWS.

        Raises:
            ComputeError: it has something that this firewall cannot do; the former one stays.
        """
        if document == self._document:
            return
        acl = None if document is None else WebAcl.parse(document, clock=self._clock)
        self.close()
        self._document, self._acl = document, acl

    def close(self) -> None:
        """Tell what the web ACL has counted, and forget it."""
        if self._acl is not None and (line := summary(self._acl)):
            self._notify(line)
        self._document = self._acl = None

    async def admit(self, request: web.BaseRequest, *, idle_timeout: float) -> Passage:
        """Decide about a request; of its body only the beginning is waited for."""
        acl = self._acl
        if acl is None:
            return Passage()
        beginning: bytes | None = None

        async def body() -> bytes:
            nonlocal beginning
            async with asyncio.timeout(idle_timeout):
                beginning = await _beginning(request)
            return beginning

        try:
            seen, verdict = await acl.evaluate(_web_request(request), body)
        except TimeoutError:
            return Passage(response=error_response(408))
        if verdict.ended_by is not None or verdict.counted or verdict.action.answer is not None:
            self._write_log(acl, json.dumps(record(acl, seen, verdict)))
        answer = verdict.action.answer
        return Passage(response=None if answer is None else _response(answer), beginning=beginning)

    def _write_log(self, acl: WebAcl, line: str) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"web-acl-{acl.name}.log").open("a", encoding="utf-8") as log:
            log.write(line + "\n")


async def _beginning(request: web.BaseRequest) -> bytes:
    if not request.body_exists:
        return b""
    continue_request(request)
    found = bytearray()
    while len(found) < BODY_BYTES and not request.content.at_eof():
        found += await request.content.readany()
    return bytes(found)


def _web_request(request: web.BaseRequest) -> WebRequest:
    path, _, query = (origin_form(request.raw_path) or "").partition("?")
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    return WebRequest(
        client=request.remote or "",
        method=request.method,
        path=path,
        query=query,
        headers=headers,
    )


def _response(answer: Answer) -> web.Response:
    return RelayedResponse(
        status=answer.status,
        body=answer.body.encode(),
        content_type=answer.content_type or None,
        headers={"Server": "awselb/2.0", **answer.headers},
    )
