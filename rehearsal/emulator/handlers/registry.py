"""Registration of the handlers and checks with the emulator."""

from typing import Any

from rehearsal.account.records import Records
from rehearsal.emulator.authorization.authority import Authority
from rehearsal.emulator.authorization.calls import Call
from rehearsal.emulator.authorization.cloudformation import StackAuthorization
from rehearsal.emulator.authorization.service_calls import DeferredServiceCalls
from rehearsal.emulator.authorization.stack_roles import StackRoles
from rehearsal.emulator.core import ministack
from rehearsal.emulator.core.runtime_client import RuntimeClient
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
from rehearsal.emulator.handlers.base import (
    EmulatedHandler,
    Handler,
    HandlerContext,
    Request,
    Resource,
    WrappingHandler,
)
from rehearsal.emulator.handlers.checks import Checks
from rehearsal.emulator.handlers.names import NAMED_TYPES

HANDLERS: tuple[type[Handler], ...] = (
    autoscaling.ScalableTarget,
    autoscaling.ScalingPolicy,
    cloudwatch.Alarm,
    cloudwatch.QueryDefinition,
    codebuild.Project,
    codebuild.ReportGroup,
    codepipeline.Pipeline,
    custom.S3AutoDeleteObjects,
    ec2.Eip,
    ec2.FlowLog,
    ec2.NatGateway,
    ec2.SecurityGroupEgress,
    ec2.SecurityGroupIngress,
    ecs.Service,
    ecs.TaskDefinition,
    rds.DbCluster,
    s3.Bucket,
    secretsmanager.Secret,
    wafv2.LoggingConfiguration,
    wafv2.WebAcl,
    wafv2.WebAclAssociation,
)


def register(
    *,
    records: Records,
    port: int,
    control_url: str | None,
    authority: Authority,
    service_calls: DeferredServiceCalls,
) -> None:
    """Register everything with the emulator; called once, before it serves."""
    context = HandlerContext(port=port, records=records, runtime=RuntimeClient(control_url))
    roles = StackRoles()
    roles.track(lambda caller, role: _require_pass_role(authority, caller, role))
    table = ministack.resource_handlers()
    for kind in HANDLERS:
        if issubclass(kind, WrappingHandler):
            original = table[kind.type_name]
            kept = {name: original[name] for name in ("import", "snapshot") if name in original}
            table[kind.type_name] = kept | _functions(kind(context, EmulatedHandler(original)))
        else:
            table[kind.type_name] = _functions(kind(context))
    checks = Checks(
        context,
        authority=authority,
        authorization=StackAuthorization(authority, roles.principal_of),
        service_calls=service_calls,
    )
    for type_name, functions in table.items():
        table[type_name] = checks.wrap(type_name, functions)
    ministack.track_dynamic_references()
    ministack.before_parameters(checks.before_parameter)
    ministack.before_custom_resources(checks.before_custom_resource)
    ministack.run_on_worker_threads({kind.type_name for kind in HANDLERS} | NAMED_TYPES.keys())


def _require_pass_role(authority: Authority, caller: str, role: str) -> None:
    """Require that a caller may pass a role to CloudFormation, and that CloudFormation may assume it."""
    service = "cloudformation.amazonaws.com"
    context = {"iam:PassedToService": service}
    authority.require(Call(principal=caller, action="iam:PassRole", resource=role, context=context), by="request")
    authority.require(Call(principal=service, action="sts:AssumeRole", resource=role), by="service")


def _functions(handler: Handler) -> dict[str, Any]:
    """Return a handler in the form of the emulator."""

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
        return _pair(handler.create(Request(stack_name=stack_name, logical_id=logical_id, properties=properties)))

    def update(
        resource_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str, logical_id: str
    ) -> tuple[str, dict[str, str]]:
        request = Request(stack_name=stack_name, logical_id=logical_id, properties=new)
        return _pair(handler.update(resource_id, old, request))

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": handler.delete}


def _pair(resource: Resource) -> tuple[str, dict[str, str]]:
    return resource.id, dict(resource.attributes)
