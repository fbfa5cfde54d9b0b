"""CodeBuild actions: run the project's build specification in a copy of the input artifact."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rehearsal.account.sessions import ACCOUNT_ID, REGION, Credentials
from rehearsal.codepipeline.artifacts import Artifacts
from rehearsal.codepipeline.buildspec import BuildSpec, BuildSpecError
from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.roles import ActionRoles
from rehearsal.codepipeline.run_context import ActionError, CancelledError, RunContext

_COMMAND_MARKER = "[Container] Running command "
_FAILURE_MARKER = "[Container] Command did not exit successfully: "
_POLL_SECONDS = 0.2
_STOP_SECONDS = 10.0
_COVERAGE_FORMATS = frozenset({"CLOVERXML", "COBERTURAXML", "JACOCOXML", "SIMPLECOV"})


@dataclass(frozen=True, kw_only=True)
class CodeBuildExecutor:
    """Executes builds of the projects that the emulator has."""

    #: The folder of the builds' working copies.
    builds: Path
    #: The folder that local caches are kept in.
    caches: Path
    roles: ActionRoles
    #: Returns the environment of the build image for the credentials of the service role.
    environment: Callable[[Credentials], Mapping[str, str]]
    #: Returns a project in the form of BatchGetProjects, with its `logGroup`.
    project: Callable[[str], Mapping[str, Any]]
    #: Called with the process group id and the name of every build.
    on_start: Callable[[int, str], object]

    def execute(self, action: Action, context: RunContext) -> Mapping[str, str]:
        """Run the build; see `ActionExecutor.execute`."""
        configuration = context.configuration(action)
        project = self.project(configuration["ProjectName"])
        self.roles.start_build(action)
        credentials = self.roles.build_credentials(project)
        folder = self.builds / f"{context.stage}.{action.name}"
        shutil.rmtree(folder, ignore_errors=True)
        primary = configuration.get("PrimarySource", action.inputs[0])
        sources = _copy_inputs(action, primary, context.artifacts, folder)
        try:
            spec = BuildSpec.load(project["source"].get("buildspec", ""), sources[primary])
        except BuildSpecError as error:
            raise ActionError(str(error)) from error
        self._authorize(action, project, spec)
        self._link_caches(spec, sources[primary])
        exports, script = folder / "exported-variables", folder / "build.sh"
        script.write_text(spec.script(exports), encoding="utf-8")
        environment = {
            **self._environment(project, configuration, context, credentials),
            **{f"CODEBUILD_SRC_DIR_{name}": str(path) for name, path in sources.items() if name != primary},
            "CODEBUILD_SRC_DIR": str(sources[primary]),
        }
        status = self._run([*spec.interpreter(), str(script)], sources[primary], environment, context)
        if status != 0:
            raise ActionError(_failure(context.log, status), log=context.log)
        _collect_outputs(action, spec, sources[primary], context.artifacts)
        return _read_exports(exports)

    def _authorize(self, action: Action, project: Mapping[str, Any], spec: BuildSpec) -> None:
        """Authorize the calls that CodeBuild makes as the service role, apart from those of the build's commands."""
        role = project["serviceRole"]
        self.roles.read_artifacts(role, action.inputs)
        for artifact in action.inputs:
            source = self.roles.pipeline.cloned_source(artifact)
            if source is not None:
                self.roles.clone_source(role, source.configuration["ConnectionArn"])
        self.roles.write_log(role, project["logGroup"], project["name"])
        for group_arn, file_format in spec.reports.items():
            self.roles.put_report(role, group_arn, coverage=file_format in _COVERAGE_FORMATS)
        self.roles.write_artifacts(role, action.outputs)

    def _link_caches(self, spec: BuildSpec, source: Path) -> None:
        """Link the folders of the local custom cache to the ones that are kept between builds."""
        for pattern in spec.cache_paths:
            relative = Path(pattern.split("*", 1)[0].strip("/"))
            if relative == Path() or ".." in relative.parts:
                continue
            kept, link = self.caches / relative, source / relative
            kept.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(kept)

    def _environment(
        self,
        project: Mapping[str, Any],
        configuration: Mapping[str, str],
        context: RunContext,
        credentials: Credentials,
    ) -> dict[str, str]:
        """Return the variables of the build image, of CodeBuild, of the project and of the action."""
        name = configuration["ProjectName"]
        environment = {
            **self.environment(credentials),
            "CI": "true",
            "CODEBUILD_CI": "true",
            "CODEBUILD_BUILD_ID": f"{name}:{context.execution_id}",
            "CODEBUILD_BUILD_ARN": f"arn:aws:codebuild:{REGION}:{ACCOUNT_ID}:build/{name}:{context.execution_id}",
            "CODEBUILD_INITIATOR": "codepipeline/rehearsal",
            "CODEBUILD_RESOLVED_SOURCE_VERSION": context.variables.resolve("#{codepipeline.SourceRevision}"),
        }
        declared: list[Mapping[str, str]] = list(project["environment"].get("environmentVariables", ()))
        for variable in declared + json.loads(configuration.get("EnvironmentVariables", "[]")):
            if variable.get("type", "PLAINTEXT") != "PLAINTEXT":
                raise ActionError(
                    f"environment variable {variable['name']} of project {name}: type {variable['type']} is not "
                    "supported by the rehearsal"
                )
            environment[variable["name"]] = variable["value"]
        return environment

    def _run(self, command: list[str], folder: Path, environment: dict[str, str], context: RunContext) -> int:
        with context.log.open("ab") as log, context.log.open("rb") as reader:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.on_start(process.pid, f"{context.stage} build")
            try:
                while True:
                    _report_progress(reader, context)
                    try:
                        return process.wait(timeout=_POLL_SECONDS)
                    except subprocess.TimeoutExpired:
                        if context.cancelled.is_set():
                            raise CancelledError("the build was cancelled") from None
            finally:
                _stop_process_group(process)


def _copy_inputs(action: Action, primary: str, artifacts: Artifacts, folder: Path) -> dict[str, Path]:
    sources = {}
    for number, name in enumerate(action.inputs):
        sources[name] = folder / ("src" if name == primary else f"src-{number}")
        artifacts.copy_to(name, sources[name])
    return sources


def _collect_outputs(action: Action, spec: BuildSpec, source: Path, artifacts: Artifacts) -> None:
    for number, name in enumerate(action.outputs):
        base_directory = spec.secondary_outputs.get(name) or (spec.output if number == 0 else None)
        if base_directory is None:
            raise ActionError(f"the build specification declares no artifact {name}, an output of {action.name}")
        base = source / base_directory
        if not base.is_dir():
            raise ActionError(f"the build did not create {base_directory}, the base directory of artifact {name}")
        shutil.copytree(base, artifacts.create(name), symlinks=True, dirs_exist_ok=True)


def _report_progress(reader: BinaryIO, context: RunContext) -> None:
    """Report the newest command or line of the log."""
    text = reader.read().decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines:
        context.progress(lines[-1].removeprefix(_COMMAND_MARKER))


def _stop_process_group(process: subprocess.Popen[bytes]) -> None:
    """Stop every process of the build, as the end of CodeBuild's container does."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        if process.poll() is None:
            try:
                process.wait(timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def _failure(log: Path, status: int) -> str:
    """Return the command that failed, which the script has logged."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(_FAILURE_MARKER):
            return "command failed: " + line.removeprefix(_FAILURE_MARKER)
    return f"the build exited with status {status}"


def _read_exports(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    parts = file.read_text(encoding="utf-8", errors="replace").split("\0")[:-1]
    return dict(zip(parts[::2], parts[1::2], strict=True))
