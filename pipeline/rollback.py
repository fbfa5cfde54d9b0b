"""A failed deployment stage goes back to what ran before.

CDK Pipelines has no property for it, so the condition is put on the stages of the L1 pipeline, by name: positions shift
when assets come or go. Its limits are in docs/operations.md.
"""

from collections.abc import Collection

from aws_cdk import aws_codepipeline as codepipeline


def roll_back_on_failure(pipeline: codepipeline.Pipeline, stages: Collection[str]) -> None:
    """Have every stage of that name roll back when it fails.

    Raises:
        ValueError: the pipeline has no stage of some name.
    """
    resource = pipeline.node.default_child
    assert isinstance(resource, codepipeline.CfnPipeline)  # noqa: S101 - what a pipeline is made of
    positions = {stage.stage_name: position for position, stage in enumerate(pipeline.stages)}
    missing = sorted(set(stages) - positions.keys())
    if missing:
        raise ValueError(f"there is no stage {', '.join(missing)} to roll back; there are {', '.join(positions)}.")
    for name in stages:
        resource.add_property_override(f"Stages.{positions[name]}.OnFailure.Result", "ROLLBACK")
