"""After CDK Pipelines has made the pipeline: our names, roles and cache in the places where it takes none.

It has no property for the roles of self-mutation and of asset publishing. Ours are put into the projects themselves,
and the broad ones that it made are taken out of the tree.
"""

from collections.abc import Iterator

from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_iam as iam
from aws_cdk import pipelines
from constructs import IConstruct

from pipeline.config import PipelineConfig
from pipeline.roles import PipelineRoles, project_name
from stages.acknowledgements import acknowledge


def take_over(pipeline: pipelines.CodePipeline, *, config: PipelineConfig, roles: PipelineRoles) -> None:
    """Replace names and roles of the projects that CDK Pipelines made itself, and let users wait for their policies."""
    for scope, child, purpose, role in (
        ("UpdatePipeline", "SelfMutation", "self-mutation", roles.self_mutation),
        ("Assets", "FileAsset", "publish-files", roles.assets),
        ("Assets", "DockerAsset", "publish-images", roles.assets),
    ):
        parent = pipeline.node.try_find_child(scope)
        project = parent.node.try_find_child(child) if parent else None
        if parent is None or project is None:
            continue  # nothing of this kind is published
        _remove_roles(parent)
        resource = project.node.default_child
        assert isinstance(resource, codebuild.CfnProject)  # noqa: S101 - what a project is made of
        resource.name = project_name(config, purpose)
        resource.service_role = role.role_arn
        if child == "DockerAsset":
            resource.cache = _LAYERS
    for construct in pipeline.node.find_all():
        if isinstance(construct, codebuild.CfnProject):
            construct.node.add_dependency(*roles.policies)
            acknowledge(construct, {"PCI.DSS.321-CodeBuildProjectSourceRepoUrl": _NO_REPOSITORY})
    pipeline.pipeline.node.add_dependency(*roles.policies)


#: Of the host that a build happens to get: there is no build cache that CodeBuild keeps for images.
_LAYERS = codebuild.CfnProject.ProjectCacheProperty(type="LOCAL", modes=["LOCAL_DOCKER_LAYER_CACHE"])
_NO_REPOSITORY = "Its source is the pipeline's artifact, not a repository; the rule finds no URL and cannot tell."


def _remove_roles(scope: IConstruct) -> None:
    """Take out every role below `scope`, with its policies."""
    for role in list(_roles(scope)):
        parent = role.node.scope
        if parent is not None:
            parent.node.try_remove_child(role.node.id)


def _roles(scope: IConstruct) -> Iterator[IConstruct]:
    for construct in scope.node.find_all():
        if isinstance(construct, iam.Role):
            yield construct
