"""CodeBuild actions run real commands in a copy of their input artifact."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from rehearsal.codepipeline.codebuild import CodeBuildExecutor
from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.run_context import ActionError, CancelledError
from tests.rehearsal.codepipeline.authorization_stub import BUILD_ROLE, PIPELINE_ROLE, AuthorizationStub, action_roles
from tests.rehearsal.codepipeline.run_contexts import run_context
from tests.waiting import wait_until


class Build:
    """One build of a project with the given specification."""

    def __init__(self, root: Path, spec: str, *, outputs: tuple[str, ...] = (), variables: Any = ()) -> None:
        self.root = root
        self.context = run_context(root, stage="Build")
        self.artifacts = self.context.artifacts
        self.source = self.artifacts.create("Source")
        self.pids: list[int] = []
        self.authorization = AuthorizationStub()
        self._project = {
            "name": "synth",
            "arn": "arn:aws:codebuild:us-east-1:000000000000:project/synth",
            "serviceRole": BUILD_ROLE,
            "logGroup": "builds",
            "source": {"buildspec": spec},
            "environment": {"environmentVariables": list(variables)},
        }
        self._outputs = outputs
        self.context.log.touch()

    def run(self, **configuration: str) -> Mapping[str, str]:
        executor = CodeBuildExecutor(
            builds=self.root / "builds",
            caches=self.root,
            roles=action_roles(self.authorization),
            environment=lambda keys: {"PATH": "/usr/bin:/bin", "HOME": str(self.root), **keys.variables()},
            project=lambda _: self._project,
            on_start=lambda pid, _: self.pids.append(pid),
        )
        action = Action(
            name="Synth",
            category="Build",
            provider="CodeBuild",
            configuration={"ProjectName": "synth", **configuration},
            inputs=("Source",),
            outputs=self._outputs,
        )
        return executor.execute(action, self.context)

    @property
    def log(self) -> str:
        return self.context.log.read_text()


def commands(*lines: str, **more: object) -> str:
    return json.dumps({"version": "0.2", "phases": {"build": {"commands": list(lines)}}, **more})


def test_commands_have_credentials_of_the_service_role(tmp_path: Path) -> None:
    build = Build(tmp_path, commands('echo "$AWS_ACCESS_KEY_ID $AWS_SESSION_TOKEN"'))
    build.run()
    assert "ASIATEST token" in build.log
    assert ("codebuild.amazonaws.com", "sts:AssumeRole", BUILD_ROLE) in build.authorization.calls


def test_the_calls_of_codebuild_itself_are_authorized(tmp_path: Path) -> None:
    output = {"files": ["**/*"], "base-directory": "."}
    build = Build(tmp_path, commands("true", artifacts=output), outputs=("Output",))
    build.run()
    assert [(role, action) for role, action, _ in build.authorization.calls] == [
        (PIPELINE_ROLE, "codebuild:StartBuild"),
        (PIPELINE_ROLE, "codebuild:BatchGetBuilds"),
        ("codebuild.amazonaws.com", "sts:AssumeRole"),
        (BUILD_ROLE, "s3:GetObject"),
        (BUILD_ROLE, "logs:CreateLogStream"),
        (BUILD_ROLE, "logs:PutLogEvents"),
        (BUILD_ROLE, "s3:PutObject"),
    ]


def test_a_denied_build_does_not_run(tmp_path: Path) -> None:
    build = Build(tmp_path, commands("touch ran"))
    build.authorization.denied = frozenset({"logs:PutLogEvents"})
    with pytest.raises(ActionError, match="not authorized to perform logs:PutLogEvents"):
        build.run()
    assert not build.pids


def test_the_build_cannot_change_its_input_artifact(tmp_path: Path) -> None:
    build = Build(tmp_path, commands("rm file", "touch other"))
    (build.source / "file").write_text("kept")
    build.run()
    assert [path.name for path in build.source.iterdir()] == ["file"]


def test_a_build_has_only_declared_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKED", "from the caller")
    declared = [{"name": "PLAIN", "value": "of the project", "type": "PLAINTEXT"}]
    build = Build(tmp_path, commands("env"), variables=declared)
    build.run(EnvironmentVariables=json.dumps([{"name": "PLAIN", "value": "of the action", "type": "PLAINTEXT"}]))
    assert "LEAKED" not in build.log
    assert "PLAIN=of the action" in build.log
    assert "CODEBUILD_RESOLVED_SOURCE_VERSION=c0ffee" in build.log


def test_an_unsupported_variable_type_is_refused(tmp_path: Path) -> None:
    build = Build(tmp_path, commands("true"), variables=[{"name": "KEY", "value": "id", "type": "SECRETS_MANAGER"}])
    with pytest.raises(ActionError, match="KEY of project synth: type SECRETS_MANAGER is not supported"):
        build.run()


def test_declared_files_become_the_output_artifact(tmp_path: Path) -> None:
    spec = commands("mkdir -p out/in", "echo hi > out/in/a.txt", artifacts={"base-directory": "out", "files": "**/*"})
    build = Build(tmp_path, spec, outputs=("Out",))
    build.run()
    assert (build.artifacts.folder("Out") / "in" / "a.txt").read_text() == "hi\n"


def test_secondary_artifacts_are_found_by_name(tmp_path: Path) -> None:
    parts = {name: {"base-directory": name, "files": ["**/*"]} for name in ("First", "Second")}
    spec = commands("mkdir First Second", "touch First/1 Second/2", artifacts={"secondary-artifacts": parts})
    build = Build(tmp_path, spec, outputs=("First", "Second"))
    build.run()
    assert [path.name for path in build.artifacts.folder("Second").iterdir()] == ["2"]


def test_a_missing_output_artifact_fails_the_action(tmp_path: Path) -> None:
    build = Build(tmp_path, commands("true", artifacts={"base-directory": "out", "files": "**/*"}), outputs=("Out",))
    with pytest.raises(ActionError, match="the build did not create out"):
        build.run()


def test_a_failed_command_fails_the_action(tmp_path: Path) -> None:
    build = Build(tmp_path, commands("echo why >&2; exit 4"))
    with pytest.raises(ActionError, match="the build exited with status 4") as error:
        build.run()
    assert error.value.log is not None
    assert "why" in error.value.log.read_text()


def test_a_cached_folder_is_kept_between_builds(tmp_path: Path) -> None:
    spec = commands("ls kept/cache", "touch kept/cache/seen", cache={"paths": ["kept/cache/**/*"]})
    Build(tmp_path, spec).run()
    second = Build(tmp_path, spec)
    second.run()
    assert "\nseen\n" in second.log


def test_a_cancelled_build_leaves_no_process(tmp_path: Path) -> None:
    build = Build(tmp_path, commands("sleep 600 & echo $! > ../pid; sleep 600"))
    written = tmp_path / "builds/Build.Synth/pid"
    with ThreadPoolExecutor() as threads:
        run = threads.submit(build.run)
        wait_until(lambda: written.exists() and written.read_text().strip(), "the build's background process")
        build.context.cancelled.set()
        with pytest.raises(CancelledError):
            run.result()
    assert not _alive(int(written.read_text()))
    assert not _alive(build.pids[0])


def test_background_processes_end_with_the_build(tmp_path: Path) -> None:
    build = Build(tmp_path, commands("sleep 600 & echo $! > ../pid"))
    build.run()
    assert not _alive(int((tmp_path / "builds/Build.Synth/pid").read_text()))


def _alive(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        process.wait(timeout=5)
    except psutil.NoSuchProcess:
        return False
    except psutil.TimeoutExpired:
        return True
    return False
