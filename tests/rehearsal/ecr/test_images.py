"""An image has what its Dockerfile copies, and nothing else."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal.ecr import docker
from rehearsal.ecr.dockerfiles import ignore_rules
from rehearsal.ecr.images import Image, ImageStore
from rehearsal.host.errors import ImageError

DOCKERFILE = """\
FROM python:3.13-slim AS builder
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /opt/venv && /opt/venv/bin/pip install -r requirements.txt

FROM python:3.13-slim AS runtime
ENV PYTHONUNBUFFERED=1 \\
    CODE=/app
ENV DOCUMENTS=${CODE}/documents
WORKDIR /app
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /build/requirements.txt installed.txt
COPY package ./package
COPY README.md settings.json ./documents/
USER 10001:10001
CMD ["python", "-m", "package"]
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    files = {
        "Dockerfile": DOCKERFILE,
        ".dockerignore": "**/*.pyc\n# a comment\npackage/secret*\n!package/secret-example\ntests\n",
        "requirements.txt": "# none\n",
        "settings.json": "{}",
        "README.md": "read me",
        "package/__init__.py": "",
        "package/module.pyc": "compiled",
        "package/deep/module.pyc": "compiled",
        "package/deep/data.txt": "data",
        "package/secret": "secret",
        "package/secret-example": "example",
        "tests/test.py": "",
    }
    folder = tmp_path / "context"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / "package" / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "package" / "tool.sh").chmod(0o755)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def files_of(image: Image) -> set[str]:
    paths = (path for path in image.root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(image.root).as_posix() for path in paths}


def test_the_root_has_what_the_last_stage_copies(context: Path, store: ImageStore) -> None:
    image = store.build(context, tags=["app"])
    assert files_of(image) == {
        "app/installed.txt",
        "app/package/__init__.py",
        "app/package/deep/data.txt",
        "app/package/secret-example",
        "app/package/tool.sh",
        "app/documents/README.md",
        "app/documents/settings.json",
    }
    assert image.path("/app/package/tool.sh").stat().st_mode & stat.S_IXUSR


def test_the_metadata_is_that_of_the_last_stage(context: Path, store: ImageStore) -> None:
    config = store.build(context, tags=["app"]).config
    assert config.environment == {"PYTHONUNBUFFERED": "1", "CODE": "/app", "DOCUMENTS": "/app/documents"}
    assert (config.workdir, config.user) == ("/app", "10001:10001")
    assert config.command == ("python", "-m", "package")


def test_a_missing_file_fails_the_build(context: Path, store: ImageStore) -> None:
    (context / "settings.json").unlink()
    with pytest.raises(ImageError, match=r"COPY settings\.json: the build context .* has no such file"):
        store.build(context, tags=["app"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ARG RELEASE=1", "the Dockerfile instruction ARG is not supported"),
        ("COPY --chown=1:1 package package", "COPY --chown=1:1 is not supported"),
        ("COPY --from=nowhere /a /b", "COPY --from=nowhere: the Dockerfile has no such stage"),
    ],
    ids=["instruction", "option", "stage"],
)
def test_an_unsupported_instruction_is_refused(line: str, message: str, context: Path, store: ImageStore) -> None:
    (context / "Dockerfile").write_text(f"FROM scratch\n{line}\n")
    with pytest.raises(ImageError, match=message):
        store.build(context, tags=["app"])


def test_the_digest_depends_on_the_content(context: Path, store: ImageStore) -> None:
    first = store.build(context, tags=["one"])
    assert store.build(context, tags=["two"]).digest == first.digest
    (context / "package" / "__init__.py").write_text("changed = True\n")
    changed = store.build(context, tags=["one"])
    assert changed.digest != first.digest
    assert store.find("one") == changed
    assert store.find("two") == first


def test_requirements_need_hashes(context: Path, store: ImageStore) -> None:
    (context / "requirements.txt").write_text("six==1.17.0\n")
    with pytest.raises(ImageError, match="hash"):
        store.build(context, tags=["app"])


def test_images_with_the_same_requirements_share_their_packages(context: Path, store: ImageStore) -> None:
    first = store.build(context, tags=["one"])
    (context / "package" / "__init__.py").write_text("changed = True\n")
    second = store.build(context, tags=["two"])
    assert first.venv == second.venv
    command = [str(second.venv / "bin" / "python"), "-c", "import sys; print(sys.version_info[:2])"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == str(
        sys.version_info[:2]
    )


def test_only_a_pushed_image_can_be_pulled(context: Path, store: ImageStore) -> None:
    store.build(context, tags=["local"])
    store.tag("local", "registry/app:1")
    with pytest.raises(ImageError, match=r"CannotPullContainerError.*registry/app:1"):
        store.pull("registry/app:1")
    store.mark_pushed("registry/app:1")
    assert store.pull("registry/app:1") == store.find("local")


def test_a_new_account_has_no_images(context: Path, store: ImageStore) -> None:
    image = store.build(context, tags=["registry/app:1"])
    store.mark_pushed("registry/app:1")
    store.empty_registry()
    with pytest.raises(ImageError, match="has not been pushed"):
        store.pull("registry/app:1")
    assert store.find("registry/app:1") == image


@pytest.mark.parametrize(
    ("pattern", "ignored", "kept"),
    [
        ("*.py", ["a.py"], ["folder/a.py", "a.pyc"]),
        ("**/*.py", ["a.py", "folder/deep/a.py"], ["a.pyc"]),
        ("/folder/", ["folder/a", "folder/deep/a"], ["other/folder/a"]),
        ("folder/**", ["folder/a"], ["a"]),
        ("a?c", ["abc"], ["ac", "abbc"]),
        ("[ab].txt", ["a.txt"], ["c.txt"]),
    ],
)
def test_ignore_patterns(pattern: str, ignored: list[str], kept: list[str]) -> None:
    rules = ignore_rules([pattern])
    assert [path for path in ignored if not rules.match_file(path)] == []
    assert [path for path in kept if rules.match_file(path)] == []


def test_a_later_pattern_may_include_again() -> None:
    rules = ignore_rules(["folder", "!folder/a"])
    assert list(rules.match_files(["folder/a", "folder/b"])) == ["folder/b"]


class TestDockerCommand:
    """The commands of `cdk-assets`."""

    @pytest.fixture(autouse=True)
    def images(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: Path) -> None:
        monkeypatch.setenv("REHEARSAL_IMAGES", str(tmp_path / "images"))
        monkeypatch.chdir(context)

    def test_builds_in_the_working_directory(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert docker.main(["inspect", "cdkasset-1"]) == 1
        build = ["build", "--tag", "cdkasset-1", "--platform", "linux/amd64", "."]
        assert docker.main(build) == 0
        assert docker.main(["inspect", "cdkasset-1"]) == 0
        assert '"CODE=/app"' in capsys.readouterr().out
        assert docker.main(["tag", "cdkasset-1", "111111111111.dkr.ecr.us-east-1.amazonaws.com/assets:1"]) == 0
        capsys.readouterr()
        docker.main(["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=*/*:1"])
        assert capsys.readouterr().out.split() == ["111111111111.dkr.ecr.us-east-1.amazonaws.com/assets:1"]

    def test_other_commands_are_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as exit_info:
            docker.main(["run", "anything"])
        assert exit_info.value.code == 125
        assert "only the commands of the CDK CLI are supported" in capsys.readouterr().err

    def test_push_needs_an_ecr_registry(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "000000000000")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        reference = "000000000000.dkr.ecr.us-east-1.amazonaws.com/assets:1"
        docker.main(["build", "--tag", reference, "."])
        assert docker.main(["push", reference]) == 1
        assert "push to assets:1 failed" in capsys.readouterr().err
        assert docker.main(["push", "other/assets:1"]) == 1
        assert "is not in an ECR repository" in capsys.readouterr().err
