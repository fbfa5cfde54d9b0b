"""The pipeline's own resources keep the naming convention of the environments."""

from tests.pipeline.model import Synthesized
from tests.stages.model import Templates
from tests.stages.names import misnamed

#: Of the pipeline's stack, and of its replica in the other region of the test's configuration.
SUFFIXES = {"PipelineStack": "main", "PipelineStack-eu-west-1": "main-euw1"}


def test_every_name_says_its_type_and_its_installation(synthesized: Synthesized) -> None:
    stacks = Templates.of(synthesized.folder).by_stack
    assert set(stacks) == set(SUFFIXES)
    for stack, suffix in SUFFIXES.items():
        assert misnamed(Templates(by_stack={stack: stacks[stack]}), suffix) == []
