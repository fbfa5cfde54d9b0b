"""docs/first-deployment.md promises to have looked at every type of every stack, and at none that there is not."""

import re
from collections import defaultdict
from pathlib import Path

from tests.stages.model import PROJECT, Templates

TEXT = (PROJECT / "docs" / "first-deployment.md").read_text()


def told(title: str, text: str = TEXT) -> set[str]:
    """Types that a section names in its tables."""
    (body,) = re.findall(rf"^## {re.escape(title)}.*?\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return set(re.findall(r"`((?:[A-Z]\w+)::\w+)`", body))


def test_every_type_of_an_environment_is_told_with_its_stack(environments: dict[str, Templates]) -> None:
    there: dict[str, set[str]] = defaultdict(set)
    for name, suffix in (("Dev", "dev"), ("Prod", "prod"), ("Canary", "canary-alice")):
        for resource in environments[name].resources:
            there[resource.stack.removesuffix(f"-{suffix}")].add(resource.type.removeprefix("AWS::"))
    assert len(there) == 4
    for stack, kinds in there.items():
        assert told(f"{stack}-*") == kinds


def test_every_type_of_the_pipeline_is_told(whole_app: Path) -> None:
    assert told("PipelineStack, and") == {
        resource.type.removeprefix("AWS::") for resource in Templates.of(whole_app).resources
    }


def test_a_type_that_is_missing_or_too_many_is_noticed() -> None:
    assert told("payment-monitoring-*", TEXT.replace("`CloudWatch::Dashboard`", "-")) != told("payment-monitoring-*")


def test_the_readme_leads_here() -> None:
    assert "(docs/first-deployment.md)" in (PROJECT / "README.md").read_text()
