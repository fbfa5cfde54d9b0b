"""Log groups that AWS services recreate after their stack has deleted them."""

import time
from collections.abc import Callable, Iterable

from boto3.session import Session

from operations.installation import Stack

#: Resource type to the log groups that a service writes for it, whether they are declared or not.
_IMPLICIT: dict[str, tuple[str, ...]] = {
    "AWS::Lambda::Function": ("/aws/lambda/{}",),
    "AWS::CodeBuild::Project": ("/aws/codebuild/{}",),
    "AWS::ECS::Cluster": ("/aws/ecs/containerinsights/{}/performance",),
    "AWS::RDS::DBCluster": ("/aws/rds/cluster/{}/postgresql",),
}


def log_group_names(stack: Stack) -> set[str]:
    """Return the names of all log groups that the stack declares, or that a service may create for it."""
    names = set(stack.ids("AWS::Logs::LogGroup"))
    for resource_type, patterns in _IMPLICIT.items():
        names |= {pattern.format(one) for one in stack.ids(resource_type) for pattern in patterns}
    return names


def delete_log_groups(
    session: Session,
    region: str,
    names: Iterable[str],
    *,
    settle_seconds: float,
    report: Callable[[str], None],
    poll_seconds: float = 5.0,
) -> None:
    """Delete these groups until none of them has reappeared for `settle_seconds`.

    RDS and Container Insights deliver logs for some time after the deletion of what they monitor, and recreate their
    group to do so; the next deployment would fail because the name is taken.
    """
    logs = session.client("logs", region_name=region)
    ordered = sorted(names)
    quiet_since = time.monotonic()
    while True:
        for name in ordered:
            groups = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
            if any(group["logGroupName"] == name for group in groups):
                report(f"deleting log group {name}, which a service has recreated")
                logs.delete_log_group(logGroupName=name)
                quiet_since = time.monotonic()
        remaining = settle_seconds - (time.monotonic() - quiet_since)
        if remaining <= 0:
            return
        time.sleep(min(poll_seconds, remaining))
