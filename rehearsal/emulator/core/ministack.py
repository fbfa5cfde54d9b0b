"""Access to `ministack`, which is untyped.

It relies on these internals: the ASGI application, the table of CloudFormation resource handlers, the predicate that
moves blocking handlers to worker threads, the resolution of dynamic references and of SSM parameters, the invocation of
custom resources, the account and region of a request, ECR's DescribeImages, and the records of web ACLs. Policies,
sessions and requests are accessed by `authorization/` and `registry_tokens.py`. `tests/rehearsal/emulator` fails when a
new version changes any of them.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


def application() -> Any:
    """Return the ASGI application that serves every emulated API."""
    return importlib.import_module("ministack.app").app


def account_id() -> str:
    """Return the account of the current request or stack operation."""
    return str(importlib.import_module("ministack.core.responses").get_account_id())


def region() -> str:
    """Return the region of the current request or stack operation."""
    return str(importlib.import_module("ministack.core.responses").get_region())


@contextmanager
def in_region(name: str | None) -> Iterator[None]:
    """Work in a region, as a request to it does; without a name in the current one."""
    responses: Any = importlib.import_module("ministack.core.responses")
    token = responses._request_region.set(name or responses.get_region())
    try:
        yield
    finally:
        responses._request_region.reset(token)


def resource_handlers() -> dict[str, dict[str, Any]]:
    """Return the functions `create`, `update` and `delete` of each resource type; changes of it take effect."""
    table: dict[str, dict[str, Any]] = importlib.import_module(
        "ministack.services.cloudformation.provisioners"
    )._RESOURCE_HANDLERS
    return table


def run_on_worker_threads(types: Iterable[str]) -> None:
    """Run the handlers of these types on worker threads, where they may block and call the emulator."""
    stacks: Any = importlib.import_module("ministack.services.cloudformation.stacks")
    original: Callable[[str], bool] = stacks._runs_on_worker_thread
    blocking = frozenset(types)

    def runs_on_worker_thread(resource_type: str) -> bool:
        return resource_type in blocking or original(resource_type)

    stacks._runs_on_worker_thread = runs_on_worker_thread


_references: ContextVar[tuple[str, ...]] = ContextVar("dynamic_references", default=())


def dynamic_references() -> tuple[str, ...]:
    """Return the dynamic references (`{{resolve:...}}`) that were resolved for the current operation's resource."""
    return _references.get()


def track_dynamic_references() -> None:
    """Record the dynamic references that the emulator resolves for each resource."""
    stacks: Any = importlib.import_module("ministack.services.cloudformation.stacks")
    original: Callable[..., tuple[Any, Mapping[str, str]]] = stacks._resolve_dynamic_references

    def resolve(
        value: Any,
        previous: Mapping[str, str] | None = None,
        reuse_ssm: bool = False,  # noqa: FBT001, FBT002 - the signature of ministack
        reuse_secrets: bool = False,  # noqa: FBT001, FBT002 - the signature of ministack
    ) -> tuple[Any, Mapping[str, str]]:
        resolved, read = original(value, previous, reuse_ssm, reuse_secrets)
        kept = (previous or {}) if reuse_secrets else {}
        _references.set(tuple(literal for literal in read if literal not in kept))
        return resolved, read

    stacks._resolve_dynamic_references = resolve


def before_parameters(check: Callable[[str], None]) -> None:
    """Call `check(name)`, which may raise, before the emulator reads an SSM parameter for a template."""
    ssm: Any = importlib.import_module("ministack.services.ssm")
    original: Callable[[str], str | None] = ssm.resolve_parameter_value

    def resolve(name: str) -> str | None:
        check(name)
        return original(name)

    ssm.resolve_parameter_value = resolve


def before_custom_resources(check: Callable[[str, Mapping[str, Any], str], None]) -> None:
    """Call `check(type, properties, stack name)`, which may raise, before the function of a custom resource."""
    module: Any = importlib.import_module("ministack.services.cloudformation.custom_resource")
    original: Callable[..., Any] = module.invoke_custom_resource

    def invoke(
        request_type: str,
        logical_id: str,
        properties: dict[str, Any],
        stack_name: str,
        stack_id: str,
        resource_type: str,
        **others: object,
    ) -> object:
        check(resource_type, properties, stack_name)
        return original(request_type, logical_id, properties, stack_name, stack_id, resource_type, **others)

    module.invoke_custom_resource = invoke


def refuse_unknown_images() -> None:
    """Have ECR return ImageNotFoundException for an image that it does not have: the CDK CLI relies on it."""
    ecr: Any = importlib.import_module("ministack.services.ecr")
    describe: Callable[[dict[str, Any]], Any] = ecr._describe_images

    def describe_images(request: dict[str, Any]) -> object:
        repository = request.get("repositoryName", "")
        for image in request.get("imageIds") or ():
            if repository in ecr._repositories and ecr._find_image(repository, image) is None:
                reason = f"The image with imageId {image} does not exist within the repository '{repository}'"
                return ecr.error_response_json("ImageNotFoundException", reason, 400)
        return describe(request)

    ecr._describe_images = describe_images


def keep_whole_web_acls() -> None:
    """Have WAFv2 keep the members of web ACLs that it would drop."""
    waf: Any = importlib.import_module("ministack.services.waf")
    create: Callable[..., Any] = waf.create_web_acl_record
    update: Callable[..., Any] = waf.update_web_acl_record
    dropped = ("CustomResponseBodies", "DataProtectionConfig")

    def copy_dropped(record: dict[str, Any], properties: dict[str, Any]) -> None:
        for name in dropped:
            record.pop(name, None)
            if name in properties:
                record[name] = properties[name]

    def create_web_acl_record(name: str, scope: str, properties: dict[str, Any]) -> object:
        created = create(name, scope, properties)
        copy_dropped(created[2], properties)
        return created

    def update_web_acl_record(record: dict[str, Any], properties: dict[str, Any]) -> object:
        updated = update(record, properties)
        copy_dropped(updated, properties)
        return updated

    waf.create_web_acl_record = create_web_acl_record
    waf.update_web_acl_record = update_web_acl_record
