"""docs/first-deployment.md covers exactly the resource types of every stack."""

import re
from collections import defaultdict
from pathlib import Path

from tests.stages.model import PROJECT, Templates

TEXT = (PROJECT / "docs" / "first-deployment.md").read_text()


def documented(title: str, text: str = TEXT) -> set[str]:
    """Types in the tables of a section."""
    (body,) = re.findall(rf"^## {re.escape(title)}.*?\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return set(re.findall(r"`((?:[A-Z]\w+)::\w+)`", body))


def test_every_type_of_an_environment_is_documented(environments: dict[str, Templates]) -> None:
    there: dict[str, set[str]] = defaultdict(set)
    for name, suffix in (("Dev", "dev"), ("Prod", "prod"), ("Canary", "canary-alice")):
        for resource in environments[name].resources:
            there[resource.stack.removesuffix(f"-{suffix}")].add(resource.type.removeprefix("AWS::"))
    assert len(there) == 4
    for stack, kinds in there.items():
        assert documented(f"{stack}-*") == kinds


def test_every_type_of_the_pipeline_is_documented(whole_app: Path) -> None:
    assert documented("PipelineStack, and") == {
        resource.type.removeprefix("AWS::") for resource in Templates.of(whole_app).resources
    }


def test_an_undocumented_type_is_detected() -> None:
    changed = TEXT.replace("`CloudWatch::Dashboard`", "-")
    assert documented("payment-monitoring-*", changed) != documented("payment-monitoring-*")


def test_the_readme_links_the_document() -> None:
    assert "(docs/first-deployment.md)" in (PROJECT / "README.md").read_text()
