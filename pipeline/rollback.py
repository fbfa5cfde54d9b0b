"""Rollback of a failed deployment stage to the last successful execution.

CDK Pipelines has no property for it, so the condition is set on the stages of the L1 pipeline, by name: positions shift
when assets are added or removed. docs/operations.md describes the limits.
"""

from collections.abc import Collection

from aws_cdk import aws_codepipeline as codepipeline


def roll_back_on_failure(pipeline: codepipeline.Pipeline, stages: Collection[str]) -> None:
    """Make the named stages roll back when they fail.

    Raises:
        ValueError: The pipeline has no stage of that name.
    """
    resource = pipeline.node.default_child
    assert isinstance(resource, codepipeline.CfnPipeline)  # noqa: S101 - the L1 resource of a pipeline
    positions = {stage.stage_name: position for position, stage in enumerate(pipeline.stages)}
    missing = sorted(set(stages) - positions.keys())
    if missing:
        raise ValueError(f"no stage {', '.join(missing)} to roll back; the pipeline has {', '.join(positions)}.")
    for name in stages:
        resource.add_property_override(f"Stages.{positions[name]}.OnFailure.Result", "ROLLBACK")
