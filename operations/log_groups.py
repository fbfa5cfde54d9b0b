"""Log groups that AWS services make again after their stack has deleted them."""

import time
from collections.abc import Callable, Iterable

from boto3.session import Session

from operations.installation import Stack

#: The exact groups that a service writes to for a resource, whether anybody has declared them or not.
_IMPLICIT: dict[str, tuple[str, ...]] = {
    "AWS::Lambda::Function": ("/aws/lambda/{}",),
    "AWS::CodeBuild::Project": ("/aws/codebuild/{}",),
    "AWS::ECS::Cluster": ("/aws/ecs/containerinsights/{}/performance",),
    "AWS::RDS::DBCluster": ("/aws/rds/cluster/{}/postgresql",),
}


def log_group_names(stack: Stack) -> set[str]:
    """Return the exact names of all log groups that exist for the stack, or that a service may make for it."""
    names = set(stack.ids("AWS::Logs::LogGroup"))
    for kind, forms in _IMPLICIT.items():
        names |= {form.format(resource_id) for resource_id in stack.ids(kind) for form in forms}
    return names


def sweep_log_groups(
    session: Session,
    region: str,
    names: Iterable[str],
    *,
    settle_seconds: float,
    say: Callable[[str], None],
    poll_seconds: float = 5.0,
) -> None:
    """Delete these groups until none of them has come back for `settle_seconds`.

    RDS and Container Insights deliver for some time after the deletion of what they watch, and make their group again
    to do so; the next deployment would then fail because the name is taken.
    """
    logs = session.client("logs", region_name=region)
    wanted = sorted(names)
    quiet_since = time.monotonic()
    while True:
        for name in wanted:
            if _exists(session, region, name):
                say(f"deleting log group {name}, which a service has made again")
                logs.delete_log_group(logGroupName=name)
                quiet_since = time.monotonic()
        remaining = settle_seconds - (time.monotonic() - quiet_since)
        if remaining <= 0:
            return
        time.sleep(min(poll_seconds, remaining))


def _exists(session: Session, region: str, name: str) -> bool:
    groups = session.client("logs", region_name=region).describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return any(group["logGroupName"] == name for group in groups)
