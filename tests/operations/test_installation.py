"""An installation is identified by the tags of its stacks."""

import json
from pathlib import Path

import pytest

from operations.installation import Installation


@pytest.mark.parametrize(
    ("installation", "suffix", "is_pipeline", "owned"),
    [
        ("main", "main", True, True),
        ("main", "dev", False, True),
        ("main", "alice", True, False),
        ("main", "dev-alice", False, False),
        ("alice", "alice", True, True),
        ("alice", "dev-alice", False, True),
        ("alice", "alice", False, False),
        ("alice", "dev", False, False),
        ("alice", "dev-alice-b", False, False),
        ("alice-b", "dev-alice-b", False, True),
    ],
)
def test_tags_identify_it(installation: str, suffix: str, is_pipeline: bool, owned: bool) -> None:
    tags = {"project": "payment-pipeline", "environment-suffix": suffix}

    assert Installation(name=installation).owns(tags, is_pipeline=is_pipeline) is owned


@pytest.mark.parametrize("tags", [{}, {"environment-suffix": "dev"}, {"project": "shop", "environment-suffix": "dev"}])
def test_a_stack_without_our_tags_is_not_ours(tags: dict[str, str]) -> None:
    assert not Installation().owns(tags, is_pipeline=False)


def test_the_app_tags_its_stacks() -> None:
    """With this feature flag, `Tags.of` would tag resources only, and `destroy` would find no stack."""
    context = json.loads((Path(__file__).parents[2] / "cdk.json").read_text())["context"]

    assert context["@aws-cdk/core:explicitStackTags"] is False
