"""CodeBuild actions: the project's build specification, run for real in a clean copy of the input artifact."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import boto3.session
from botocore.exceptions import ClientError

from rehearsal.codepipeline.actions import ActionError, CancelledError, Surroundings
from rehearsal.codepipeline.artifacts import Artifacts
from rehearsal.codepipeline.buildspec import BuildSpec, BuildSpecError, Output
from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.roles import ActionRoles
from rehearsal.emulator.client import Credentials

_MARKER = "[Container] Running command "
_POLL_SECONDS = 0.2
_COVERAGE_FORMATS = frozenset({"CLOVERXML", "COBERTURAXML", "JACOCOXML", "SIMPLECOV"})
_STOP_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class CodeBuild:
    """Runs the projects that the emulator knows.

    `environment` is what the build image would bring (PATH, HOME, trust roots, AWS endpoint), with the credentials of
    the project's service role; `project` answers a project as CodeBuild's BatchGetProjects does, with its `logGroup`;
    `secret` and `parameter` read the values of environment variables of those types with the role's session; `started`
    is told every process group, so that none outlives the rehearsal.
    """

    builds: Path
    cached: Path
    roles: ActionRoles
    environment: Callable[[Credentials], Mapping[str, str]]
    project: Callable[[str], Mapping[str, Any]]
    secret: Callable[[boto3.session.Session, str], str]
    parameter: Callable[[boto3.session.Session, str], str]
    started: Callable[[int, str], object]

    def run(self, action: Action, around: Surroundings) -> Mapping[str, str]:
        """Run the build; see `Provider.run`."""
        configuration = around.configuration(action)
        project = self.project(configuration["ProjectName"])
        self.roles.start_build(action)
        credentials = self.roles.build_credentials(project)
        folder = self.builds / f"{around.stage}.{action.name}"
        shutil.rmtree(folder, ignore_errors=True)
        sources = self._copy_inputs(action, configuration, around.artifacts, folder)
        source = sources[configuration.get("PrimarySource", action.inputs[0])]
        try:
            spec = BuildSpec.load(project["source"].get("buildspec", ""), source)
        except BuildSpecError as error:
            raise ActionError(str(error)) from error
        self._decide(action, project, spec)
        self._link_caches(spec, source)
        exports = folder / "exported-variables"
        environment = self._environment(project, configuration, spec, around, credentials)
        environment |= {f"CODEBUILD_SRC_DIR_{name}": str(path) for name, path in sources.items() if path != source}
        environment["CODEBUILD_SRC_DIR"] = str(source)
        (folder / "build.sh").write_text(spec.script(exports), encoding="utf-8")
        status = self._execute([*spec.interpreter(), str(folder / "build.sh")], source, environment, around)
        if status != 0:
            raise ActionError(_cause(around.log, status), log=around.log)
        self._collect(action, spec, source, around.artifacts)
        return _read_exports(exports)

    def _decide(self, action: Action, project: Mapping[str, Any], spec: BuildSpec) -> None:
        """Have decided what the service role does beside the build's commands."""
        role, name = project["serviceRole"], project["name"]
        self.roles.read_artifacts(role, action.inputs)
        cloned = [source for one in action.inputs if (source := self.roles.pipeline.cloning_source(one))]
        for source in cloned:
            self.roles.clone_source(role, source.configuration["ConnectionArn"])
        self.roles.write_log(role, project["logGroup"], name)
        for report, file_format in spec.reports.items():
            self.roles.report(role, report, project=name, coverage=file_format in _COVERAGE_FORMATS)
        self.roles.write_artifacts(role, action.outputs)

    def _copy_inputs(
        self, action: Action, configuration: Mapping[str, str], artifacts: Artifacts, folder: Path
    ) -> dict[str, Path]:
        primary = configuration.get("PrimarySource", action.inputs[0])
        sources = {}
        for number, name in enumerate(action.inputs):
            sources[name] = folder / ("src" if name == primary else f"src-{number}")
            artifacts.copy_to(name, sources[name])
        return sources

    def _link_caches(self, spec: BuildSpec, source: Path) -> None:
        """CodeBuild's local custom cache: a cached folder of the build is a link to the one kept on the host."""
        for pattern in spec.cache_paths:
            relative = pattern.split("*", 1)[0].strip("/")
            if not relative or Path(relative).is_absolute() or ".." in Path(relative).parts:
                continue
            kept, link = self.cached / relative, source / relative
            kept.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(kept)

    def _environment(
        self,
        project: Mapping[str, Any],
        configuration: Mapping[str, str],
        spec: BuildSpec,
        around: Surroundings,
        credentials: Credentials,
    ) -> dict[str, str]:
        """Exactly what CodeBuild gives a build: the image's, its own, the project's and the action's variables."""
        session = self.roles.session_for(credentials)
        declared: list[Mapping[str, str]] = list(project["environment"].get("environmentVariables", ()))
        declared += json.loads(configuration.get("EnvironmentVariables", "[]"))
        name = configuration["ProjectName"]
        environment = {
            **self.environment(credentials),
            "CI": "true",
            "CODEBUILD_CI": "true",
            "CODEBUILD_BUILD_ID": f"{name}:{around.execution_id}",
            "CODEBUILD_BUILD_ARN": f"arn:aws:codebuild:us-east-1:000000000000:build/{name}:{around.execution_id}",
            "CODEBUILD_INITIATOR": "codepipeline/rehearsal",
            "CODEBUILD_RESOLVED_SOURCE_VERSION": around.variables.resolve("#{codepipeline.SourceRevision}"),
            **spec.variables,
        }
        try:
            environment |= {key: self.secret(session, value) for key, value in spec.secrets.items()}
            environment |= {key: self.parameter(session, value) for key, value in spec.parameters.items()}
            for item in declared:
                environment[item["name"]] = self._value(session, item)
        except ClientError as error:
            raise ActionError(str(error), log=around.log) from error
        return environment

    def _value(self, session: boto3.session.Session, item: Mapping[str, str]) -> str:
        match item.get("type", "PLAINTEXT"):
            case "SECRETS_MANAGER":
                return self.secret(session, item["value"])
            case "PARAMETER_STORE":
                return self.parameter(session, item["value"])
            case _:
                return item["value"]

    def _execute(self, command: list[str], folder: Path, environment: dict[str, str], around: Surroundings) -> int:
        with around.log.open("ab") as log, around.log.open("rb") as reader:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.started(process.pid, f"{around.stage} build")
            try:
                while True:
                    _tell(reader, around)
                    try:
                        return process.wait(timeout=_POLL_SECONDS)
                    except subprocess.TimeoutExpired:
                        if around.cancelled.is_set():
                            msg = "the build was stopped"
                            raise CancelledError(msg) from None
            finally:
                _end_group(process)

    def _collect(self, action: Action, spec: BuildSpec, source: Path, artifacts: Artifacts) -> None:
        for number, name in enumerate(action.outputs):
            output = spec.secondary_outputs.get(name) or (spec.output if number == 0 else None)
            if output is None:
                msg = f"the build specification declares no artifact {name}, which action {action.name} is to produce"
                raise ActionError(msg)
            _copy_output(output, source, artifacts.create(name))


def _copy_output(output: Output, source: Path, target: Path) -> None:
    base = source / output.base_directory
    if not base.is_dir():
        msg = f"the build did not make {output.base_directory}, the base directory of its artifact"
        raise ActionError(msg)
    if any(pattern in ("**/*", "**", ".") for pattern in output.files):
        shutil.copytree(base, target, symlinks=True, dirs_exist_ok=True)
        return
    for pattern in output.files:
        found = [path for path in base.glob(pattern) if path.is_file()]
        if not found:
            msg = f"no file of the build matches {pattern}, which its artifact declares"
            raise ActionError(msg)
        for path in found:
            copy = target / path.relative_to(base)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)


def _tell(reader: BinaryIO, around: Surroundings) -> None:
    """Hand the newest command or line of the log to the watcher."""
    text = reader.read().decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines:
        around.progress(lines[-1].removeprefix(_MARKER))


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what the build left running: CodeBuild's container would end with it."""
    for number, wait in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, _STOP_SECONDS)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        if process.poll() is None:
            try:
                process.wait(timeout=wait)
            except subprocess.TimeoutExpired:
                continue


def _cause(log: Path, status: int) -> str:
    """The failed command, as the script has put it into the log."""
    marker = "[Container] Command did not exit successfully: "
    failed = [line for line in _lines(log) if line.startswith(marker)]
    if failed:
        return "command failed: " + failed[0].removeprefix(marker)
    return f"the build ended with exit status {status}"


def _lines(log: Path) -> Iterable[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()


def _read_exports(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    parts = file.read_text(encoding="utf-8", errors="replace").split("\0")[:-1]
    return dict(zip(parts[::2], parts[1::2], strict=True))
