"""Stacks are deleted in an order that CloudFormation accepts and that no running pipeline can undo."""

import graphlib
from datetime import UTC, datetime
from typing import Any

from operations.installation import PIPELINE_TYPE, Resource, Stack
from operations.order import deletion_order


def stack(name: str, *, minute: int, environment: str | None = "dev", **changes: Any) -> Stack:
    values: dict[str, Any] = {
        "id": f"id-{name}",
        "name": name,
        "region": "us-east-1",
        "status": "CREATE_COMPLETE",
        "created": datetime(2026, 1, 1, 12, minute, tzinfo=UTC),
        "tags": {"environment-suffix": environment} if environment else {},
        "exports": frozenset(),
        "imports": frozenset(),
        "template": {},
        "resources": (),
    }
    return Stack(**{**values, **changes})


PIPELINE = (Resource(type=PIPELINE_TYPE, id="pipeline-main"),)


def order(*stacks: Stack) -> list[str]:
    return [
        stack_id.removeprefix("id-") for stack_id in graphlib.TopologicalSorter(deletion_order(stacks)).static_order()
    ]


def test_within_an_environment_the_newest_stack_comes_first() -> None:
    assert order(
        stack("network", minute=1),
        stack("monitoring", minute=4),
        stack("database", minute=2),
        stack("service", minute=3),
    ) == ["monitoring", "service", "database", "network"]


def test_an_importing_stack_comes_first_even_if_older() -> None:
    """An old stack may have been changed to import from one that was added later."""
    old = stack("old", minute=1, imports=frozenset({"key"}))
    new = stack("new", minute=2, exports=frozenset({"key"}))

    assert order(old, new) == ["old", "new"]


def test_exports_of_other_regions_do_not_count() -> None:
    importing = stack("importing", minute=1, imports=frozenset({"key"}))
    elsewhere = stack("elsewhere", minute=2, exports=frozenset({"key"}), region="eu-west-1", environment="eu")

    assert deletion_order([importing, elsewhere])["id-elsewhere"] == set()


def test_environments_do_not_wait_for_each_other() -> None:
    first = deletion_order([stack("dev", minute=1), stack("prod", minute=2, environment="prod")])

    assert first == {"id-dev": set(), "id-prod": set()}


def test_the_pipeline_comes_after_environments_and_replicas_last() -> None:
    support = stack("PipelineStack-support-eu-west-1", minute=1, environment=None)
    pipeline = stack("PipelineStack", minute=9, environment="main", resources=PIPELINE)

    assert order(support, pipeline, stack("dev", minute=3), stack("prod", minute=4, environment="prod"))[2:] == [
        "PipelineStack",
        "PipelineStack-support-eu-west-1",
    ]
