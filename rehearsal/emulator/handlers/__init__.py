"""CloudFormation handlers for what the emulator lacks, one module per AWS service."""

import itertools
from collections.abc import Callable
from typing import Any

from rehearsal.emulator import backend
from rehearsal.emulator.control import Control
from rehearsal.emulator.handlers import (
    autoscaling,
    cloudwatch,
    codebuild,
    codepipeline,
    custom,
    ec2,
    ecs,
    rds,
    secretsmanager,
    wafv2,
)
from rehearsal.emulator.handlers.base import Account, Handler, Request, Resource
from rehearsal.emulator.handlers.wrapping import EmulatedHandler, WrappingHandler
from rehearsal.emulator.records import Records

HANDLERS: tuple[type[Handler], ...] = tuple(
    itertools.chain.from_iterable(
        module.HANDLERS
        for module in (
            autoscaling,
            cloudwatch,
            codebuild,
            codepipeline,
            custom,
            ec2,
            ecs,
            rds,
            secretsmanager,
            wafv2,
        )
    )
)
"""Every handler of ours."""


def register(*, records: Records, port: int, control_url: str | None) -> None:
    """Add our handlers to the emulator; called once, before it serves."""
    account = Account(port=port, records=records, control=Control(control_url))
    table = backend.resource_handlers()
    for kind in HANDLERS:
        if issubclass(kind, WrappingHandler):
            handler: Handler = kind(account, EmulatedHandler(table[kind.type_name]))
        else:
            handler = kind(account)
        table[kind.type_name] = _functions(handler)
    backend.run_on_worker_threads(kind.type_name for kind in HANDLERS)


def _functions(handler: Handler) -> dict[str, Any]:
    """Return a handler in the emulator's own form."""

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        return _pair(handler.create(Request(stack_name=stack_name, logical_id=logical_id, properties=properties)))

    def update(
        resource_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str, logical_id: str
    ) -> tuple[str, dict[str, str]]:
        request = Request(stack_name=stack_name, logical_id=logical_id, properties=new)
        return _pair(handler.update(resource_id, old, request))

    delete: Callable[[str, dict[str, Any]], None] = handler.delete
    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def _pair(resource: Resource) -> tuple[str, dict[str, str]]:
    return resource.id, dict(resource.attributes)
