"""Names of the pipeline's CodeBuild projects and report groups."""

from pipeline.config import PipelineConfig


def project_name(config: PipelineConfig, purpose: str) -> str:
    """Return the name of the CodeBuild project for one purpose."""
    return config.names.name(f"project-{purpose}")


def smoke_purpose(stage: str) -> str:
    """Return the purpose of the project that runs one environment's smoke checks."""
    return f"smoke-{stage}"


def change_report_purpose(stage: str) -> str:
    """Return the purpose of the project that reports one environment's changes."""
    return f"changes-{stage}"


def project_names(config: PipelineConfig) -> list[str]:
    """Return the names of all CodeBuild projects of the pipeline."""
    purposes = ["synth", "self-mutation", "publish-files", "publish-images", "scan-image"]
    purposes += [smoke_purpose(stage.name) for stage in config.stages]
    purposes += [change_report_purpose(stage.name) for stage in config.stages if stage.approval]
    return [project_name(config, purpose) for purpose in purposes]


def report_group_name(config: PipelineConfig, kind: str) -> str:
    """Return the name of the report group of one kind."""
    return config.names.name(f"reports-{kind}")


def report_group_names(config: PipelineConfig) -> list[str]:
    """Return the names of all report groups of the pipeline; CodeBuild allows five per project."""
    return [report_group_name(config, kind) for kind in ("gates", "tests", "coverage", "smoke")]


def report_group_arn(config: PipelineConfig, kind: str) -> str:
    """Return the ARN of a declared report group; given its name only, CodeBuild would create another group."""
    return f"arn:aws:codebuild:{config.region}:{config.account}:report-group/{report_group_name(config, kind)}"
