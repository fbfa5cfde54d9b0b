"""The CodeBuild steps: their inputs, commands and outputs."""

import json
from collections.abc import Sequence
from typing import Any  # sections of a build specification are untyped JSON

from aws_cdk import CfnOutput, Duration, pipelines
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_iam as iam

from pipeline.config import CONTEXT_OVERRIDES, PipelineConfig, StageConfig
from pipeline.projects import change_report_purpose, project_name, report_group_arn, smoke_purpose
from pipeline.storage import PipelineStorage

#: Folder that the synth step fills with what later steps run: they do not get the source.
JOBS = "jobs.out"
#: Folder in which a step finds the cloud assembly next to its own input.
ASSEMBLY = "assembly"
#: Every gate, by the name of its report; `make gates` runs them all.
GATES = (
    "ruff",
    "mypy",
    "hadolint",
    "secrets",
    "sast",
    "licences",
    "sbom",
    "dependencies",
    "node-dependencies",
    "cfn-lint",
    "scanners",
)
#: Variables that the change report exports, each with the file that holds its value.
REPORT_VARIABLES = {"SUMMARY": "summary.txt", "REPORT_URL": "url.txt"}
_COMPUTE_TYPES = {"medium": codebuild.ComputeType.MEDIUM, "large": codebuild.ComputeType.LARGE}
_PYTHON = "3.13"
_HASHED = "--require-hashes --requirement pipeline/jobs/requirements.txt"
_PACKAGES = {"PYTHONPATH": "packages"}
_ACCEPTED = "accepted_vulnerabilities.json"
_REPORTS = ".run/reports"
_CACHE = ".run/cache/**/*"
#: Commit messages, including those of merged commits. Read from the clone: CodePipeline does not escape its variable
#: `CommitMessage` inside JSON (aws/aws-cdk#8458), and action configuration values hold 1,000 characters at most.
_MESSAGES = "git log --format=%B"


def build_defaults(storage: PipelineStorage) -> pipelines.CodeBuildOptions:
    """Return what all builds have in common: image, size, log group, timeout."""
    return pipelines.CodeBuildOptions(
        build_environment=codebuild.BuildEnvironment(
            build_image=codebuild.LinuxBuildImage.AMAZON_LINUX_2023_5,
            compute_type=codebuild.ComputeType.SMALL,
        ),
        logging=codebuild.LoggingOptions(
            cloud_watch=codebuild.CloudWatchLoggingOptions(log_group=storage.log_group, enabled=True)
        ),
        timeout=Duration.minutes(60),
    )


def synth_step(
    *, config: PipelineConfig, role: iam.IRole, source: pipelines.CodePipelineSource
) -> pipelines.CodeBuildStep:
    """Set up, run the gates and synthesize, by the same make targets that people use."""
    return pipelines.CodeBuildStep(
        "Synth",
        input=source,
        project_name=project_name(config, "synth"),
        role=role,
        env={CONTEXT_OVERRIDES: json.dumps(dict(config.overrides), sort_keys=True)} if config.overrides else {},
        install_commands=["make setup"],
        commands=["make synth", *_pack_jobs()],
        primary_output_directory="cdk.out",
        build_environment=codebuild.BuildEnvironment(compute_type=_COMPUTE_TYPES[config.synth_compute_type]),
        cache=codebuild.Cache.local(codebuild.LocalCacheMode.CUSTOM),
        partial_build_spec=_build_spec(
            phases={"pre_build": {"commands": ["make gates"]}},
            cache={"paths": [_CACHE]},
            reports={
                report_group_arn(config, "gates"): _files("JUNITXML", _REPORTS, *(f"{gate}.xml" for gate in GATES)),
                report_group_arn(config, "tests"): _files("JUNITXML", _REPORTS, "unit-tests.xml"),
                report_group_arn(config, "coverage"): _files("COBERTURAXML", _REPORTS, "coverage.xml"),
            },
        ),
    )


def smoke_step(
    *, config: PipelineConfig, role: iam.IRole, jobs: pipelines.FileSet, stage: StageConfig, api_url: CfnOutput
) -> pipelines.CodeBuildStep:
    """Run the HTTPS checks of one environment, with the one secret that they need."""
    return pipelines.CodeBuildStep(
        f"Smoke{stage.stage_name}",
        input=jobs,
        project_name=project_name(config, smoke_purpose(stage.name)),
        role=role,
        env={
            **_PACKAGES,
            "SMOKE_ROLE_ARN": stage.environment.names.smoke_reader_role_arn,
            "SMOKE_SECRET_NAME": stage.environment.names.smoke_key,
            "SMOKE_REGION": stage.environment.region,
            **({"CERTIFICATE_ARN": arn} if (arn := stage.environment.unmatched_certificate_arn) else {}),
        },
        env_from_cfn_outputs={"BASE_URL": api_url},
        commands=["python3 -m pipeline.jobs.with_smoke_key python3 -m integ --junit reports/smoke.xml"],
        timeout=Duration.minutes(15),
        partial_build_spec=_build_spec(
            reports={report_group_arn(config, "smoke"): _files("JUNITXML", "reports", "smoke.xml")},
        ),
    )


def image_scan_step(
    *, config: PipelineConfig, role: iam.IRole, assembly: pipelines.IFileSetProducer, jobs: pipelines.FileSet
) -> pipelines.CodeBuildStep:
    """Scan every published image before anything that runs it is deployed."""
    inputs = f"--assembly {ASSEMBLY} --account {config.account} --accepted {_ACCEPTED}"
    return pipelines.CodeBuildStep(
        "ScanImage",
        input=jobs,
        additional_inputs={ASSEMBLY: assembly},
        project_name=project_name(config, "scan-image"),
        role=role,
        env=_PACKAGES,
        commands=[f"python3 -m pipeline.jobs.image_scan {inputs}"],
        timeout=Duration.minutes(30),
        partial_build_spec=_build_spec(),
    )


def change_report_step(
    *,
    config: PipelineConfig,
    role: iam.IRole,
    assembly: pipelines.IFileSetProducer,
    jobs: pipelines.FileSet,
    stage: StageConfig,
    nested: str,
) -> pipelines.CodeBuildStep:
    """Report what a deployment to `stage` would change; `nested` is its part of the cloud assembly."""
    inputs = f"--assembly {ASSEMBLY}/{nested} --create-only create-only.json --message commit-message.txt"
    return pipelines.CodeBuildStep(
        f"ChangeReport{stage.stage_name}",
        input=jobs,
        additional_inputs={ASSEMBLY: assembly},
        project_name=project_name(config, change_report_purpose(stage.name)),
        role=role,
        env=_PACKAGES,
        commands=[
            f"python3 -m pipeline.jobs.change_report {stage.name} {inputs} --output report",
            *(f'export {variable}="$(cat report/{file})"' for variable, file in REPORT_VARIABLES.items()),
        ],
        timeout=Duration.minutes(15),
        partial_build_spec=_build_spec(),
    )


def _pack_jobs() -> list[str]:
    """Return commands that pack the jobs with their packages: later steps install nothing and need no registry."""
    return [
        f"mkdir -p {JOBS}/pipeline",
        f"cp -R pipeline/__init__.py pipeline/jobs {JOBS}/pipeline/",
        f"cp -R integ pipeline/gates/{_ACCEPTED} {JOBS}/",
        f".venv/bin/uv pip install --quiet --python .venv/bin/python --target {JOBS}/packages {_HASHED}",
        f"({_MESSAGES} HEAD^1..HEAD 2>/dev/null || {_MESSAGES} HEAD) > {JOBS}/commit-message.txt",
        f".venv/bin/python -m pipeline.gates.create_only cdk.out {JOBS}/create-only.json",
    ]


def _build_spec(**sections: Any) -> codebuild.BuildSpec:
    phases = {"install": {"runtime-versions": {"python": _PYTHON}}, **sections.pop("phases", {})}
    return codebuild.BuildSpec.from_object({"version": "0.2", "env": {"shell": "bash"}, "phases": phases, **sections})


def _files(form: str, folder: str, *files: str) -> dict[str, str | Sequence[str]]:
    return {"file-format": form, "base-directory": folder, "files": list(files)}
