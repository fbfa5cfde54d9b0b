"""CloudFormation handlers for what the emulator lacks, one module per AWS service."""

import itertools
from collections.abc import Callable
from typing import Any

from rehearsal.emulator import backend
from rehearsal.emulator.authorization.authority import Authority
from rehearsal.emulator.authorization.calls import Call
from rehearsal.emulator.authorization.cloudformation import StackAuthorization
from rehearsal.emulator.authorization.deliveries import DeferredDeliveries
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
from rehearsal.emulator.handlers.checking import Checks
from rehearsal.emulator.handlers.names import NAMED
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


def register(
    *, records: Records, port: int, control_url: str | None, authority: Authority, deliveries: DeferredDeliveries
) -> None:
    """Add our handlers to the emulator; called once, before it serves."""
    account = Account(port=port, records=records, control=Control(control_url))
    roles = StackRoles()
    roles.watch(lambda caller, role: _require_pass_role(authority, caller, role))
    table = backend.resource_handlers()
    for kind in HANDLERS:
        if issubclass(kind, WrappingHandler):
            original = table[kind.type_name]
            kept = {name: original[name] for name in ("import", "snapshot") if name in original}
            table[kind.type_name] = kept | _functions(kind(account, EmulatedHandler(original)))
        else:
            table[kind.type_name] = _functions(kind(account))
    checks = Checks(
        account,
        authority=authority,
        authorization=StackAuthorization(authority, roles.principal_of),
        deliveries=deliveries,
    )
    for type_name, functions in table.items():
        table[type_name] = checks.around(type_name, functions)
    backend.watch_dynamic_references()
    backend.before_parameters(checks.before_parameter)
    backend.before_custom_resources(checks.before_custom_resource)
    backend.run_on_worker_threads({kind.type_name for kind in HANDLERS} | NAMED.keys())


def _require_pass_role(authority: Authority, caller: str, role: str) -> None:
    """Decide whether a caller may hand a role to CloudFormation, and whether CloudFormation may take it."""
    service = "cloudformation.amazonaws.com"
    context = {"iam:PassedToService": service}
    authority.require(Call(principal=caller, action="iam:PassRole", resource=role, context=context), by="request")
    authority.require(Call(principal=service, action="sts:AssumeRole", resource=role), by="service")


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
