"""Asset publishing: all files in one build, all images in another, with a pinned tool."""

from aws_cdk import aws_codebuild as codebuild
from aws_cdk import pipelines

#: The newest schema that the pinned `cdk-assets` reads (`package.json`).
READABLE_SCHEMA = "54.0.0"


def readable_manifests() -> str:
    """Return a command that lets `cdk-assets` read the manifests of this version of the CDK library.

    The latest release of `cdk-assets` rejects schema 55, whose asset manifests are the same as those of 54 (the schema
    files of both versions are identical); the tests run the real tool on a synthesized assembly.
    """
    pattern = r's/^(  "version": ")55\.[0-9.]+"/' + rf'\1{READABLE_SCHEMA}"/'
    return f"find . -name '*.assets.json' -exec sed -i -E '{pattern}' {{}} +"


def asset_publishing_defaults() -> pipelines.CodeBuildOptions:
    """Return what both publishing builds do first."""
    return pipelines.CodeBuildOptions(
        partial_build_spec=codebuild.BuildSpec.from_object(
            {"version": "0.2", "phases": {"pre_build": {"commands": [readable_manifests()]}}}
        )
    )
