"""CloudFormation handlers for what the emulator lacks, one module per AWS service."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from rehearsal.emulator import backend
from rehearsal.emulator.authorization.authority import Authority
from rehearsal.emulator.authorization.calls import Call
from rehearsal.emulator.authorization.stack_roles import StackRoles
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
    s3,
    secretsmanager,
    wafv2,
)
from rehearsal.emulator.handlers.base import Account, Handler, Request, Resource
from rehearsal.emulator.handlers.names import NAMED, refuse_existing
from rehearsal.emulator.handlers.schemas import refuse_invalid
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
            s3,
            secretsmanager,
            wafv2,
        )
    )
)
"""Every handler of ours."""


def register(*, records: Records, port: int, control_url: str | None, authority: Authority) -> None:
    """Add our handlers to the emulator; called once, before it serves."""
    account = Account(port=port, records=records, control=Control(control_url))
    roles = StackRoles()
    roles.watch(
        lambda caller, role: authority.require(
            Call(
                principal=caller,
                action="iam:PassRole",
                resource=role,
                context={"iam:PassedToService": "cloudformation.amazonaws.com"},
            ),
            by="request",
        )
    )
    table = backend.resource_handlers()
    for kind in HANDLERS:
        if issubclass(kind, WrappingHandler):
            original = table[kind.type_name]
            kept = {name: original[name] for name in ("import", "snapshot") if name in original}
            table[kind.type_name] = kept | _functions(kind(account, EmulatedHandler(original)))
        else:
            table[kind.type_name] = _functions(kind(account))
    for type_name, functions in table.items():
        table[type_name] = _checked(account, type_name, functions)
    backend.run_on_worker_threads({kind.type_name for kind in HANDLERS} | NAMED.keys())


def _checked(account: Account, type_name: str, functions: Mapping[str, Any]) -> dict[str, Any]:
    """Return a handler that first refuses what CloudFormation refuses for any type."""

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        refuse_invalid(type_name, properties)
        if type_name in NAMED:
            refuse_existing(account.session, type_name, properties)
        return functions["create"](logical_id, properties, stack_name)

    def update(resource_id: str, old: dict[str, Any], new: dict[str, Any], *names: Any) -> Any:
        refuse_invalid(type_name, new)
        return functions["update"](resource_id, old, new, *names)

    checked = {name: check for name, check in (("create", create), ("update", update)) if name in functions}
    return {**functions, **checked}


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
