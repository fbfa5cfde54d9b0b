"""Overrides of what CDK Pipelines generates: names, roles and caches that it has no property for.

It has no property for the roles of self-mutation and of asset publishing. The pipeline's own roles are set on the L1
projects, and the broad generated ones are removed from the construct tree.
"""

from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_iam as iam
from aws_cdk import pipelines
from constructs import IConstruct

from kit.acknowledgements import acknowledge
from pipeline.config import PipelineConfig
from pipeline.projects import project_name
from pipeline.roles import PipelineRoles

#: A cache on the build host that happens to run the build: CodeBuild has no persistent cache for image layers.
_LAYER_CACHE = codebuild.CfnProject.ProjectCacheProperty(type="LOCAL", modes=["LOCAL_DOCKER_LAYER_CACHE"])


def override_generated_projects(
    pipeline: pipelines.CodePipeline, *, config: PipelineConfig, roles: PipelineRoles
) -> None:
    """Replace names and roles of the generated projects, and make all users of a role depend on its policy."""
    for scope, child, purpose, role in (
        ("UpdatePipeline", "SelfMutation", "self-mutation", roles.self_mutation),
        ("Assets", "FileAsset", "publish-files", roles.assets),
        ("Assets", "DockerAsset", "publish-images", roles.assets),
    ):
        parent = pipeline.node.try_find_child(scope)
        project = parent.node.try_find_child(child) if parent else None
        if parent is None or project is None:
            continue  # there are no assets of this kind
        _remove_roles(parent)
        resource = project.node.default_child
        assert isinstance(resource, codebuild.CfnProject)  # noqa: S101 - the L1 resource of a project
        resource.name = project_name(config, purpose)
        resource.service_role = role.role_arn
        if child == "DockerAsset":
            resource.cache = _LAYER_CACHE
    for construct in pipeline.node.find_all():
        if isinstance(construct, codebuild.CfnProject):
            construct.node.add_dependency(*roles.policies)
            acknowledge(
                construct,
                "PCI.DSS.321-CodeBuildProjectSourceRepoUrl",
                reason="Its source is the pipeline's artifact, not a repository; the rule finds no URL to check.",
            )
    pipeline.pipeline.node.add_dependency(*roles.policies)


def _remove_roles(scope: IConstruct) -> None:
    """Remove every role below `scope`, with its policies."""
    for construct in scope.node.find_all():
        if isinstance(construct, iam.Role) and construct.node.scope is not None:
            construct.node.scope.node.try_remove_child(construct.node.id)
