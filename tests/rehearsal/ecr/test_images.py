"""A process image holds what its Dockerfile copies, and only that."""

import os
import stat
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from rehearsal.ecr import docker
from rehearsal.ecr.dockerfiles import IgnoreRules
from rehearsal.ecr.images import Image, ImageStore
from rehearsal.host.errors import ImageError

DOCKERFILE = """\
ARG BASE=python:3.13-slim
FROM ${BASE} AS builder
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /opt/venv && /opt/venv/bin/pip install -r requirements.txt

FROM ${BASE} AS runtime
ARG RELEASE=unknown
ENV PYTHONUNBUFFERED=1 \\
    RELEASE=${RELEASE}
ENV CODE=/app
WORKDIR /app
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /build/requirements.txt installed.txt
COPY --chown=10001:10001 package ./package
COPY *.md settings.json ./documents/
USER 10001:10001
ENTRYPOINT ["python", "-m"]
CMD ["package", "serve"]
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


def test_the_root_holds_what_the_last_stage_copies(context: Path, store: ImageStore) -> None:
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


def test_the_metadata_is_the_last_stage_s(context: Path, store: ImageStore) -> None:
    config = store.build(context, tags=["app"], arguments={"RELEASE": "7"}).config
    assert config.base == "python:3.13-slim"
    assert config.environment == {"PYTHONUNBUFFERED": "1", "RELEASE": "7", "CODE": "/app"}
    assert (config.workdir, config.user) == ("/app", "10001:10001")
    assert (config.entrypoint, config.command) == (("python", "-m"), ("package", "serve"))


def test_a_target_stage_can_be_built(context: Path, store: ImageStore) -> None:
    image = store.build(context, tags=["app"], target="builder")
    assert files_of(image) == {"build/requirements.txt"}
    with pytest.raises(ImageError, match="has no stage nowhere"):
        store.build(context, tags=["app"], target="nowhere")


def test_copying_a_file_that_is_missing_fails(context: Path, store: ImageStore) -> None:
    (context / "settings.json").unlink()
    with pytest.raises(ImageError, match=r"COPY settings\.json: there is no such file"):
        store.build(context, tags=["app"])


def test_the_digest_follows_the_content(context: Path, store: ImageStore) -> None:
    first = store.build(context, tags=["one"])
    assert store.build(context, tags=["two"]).digest == first.digest
    (context / "package" / "__init__.py").write_text("changed = True\n")
    changed = store.build(context, tags=["one"])
    assert changed.digest != first.digest
    assert store.find("one") == changed
    assert store.find("two") == first


def test_packages_come_from_the_hashed_requirements(context: Path, store: ImageStore) -> None:
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


def test_only_what_was_pushed_can_be_pulled(context: Path, store: ImageStore) -> None:
    store.build(context, tags=["local"])
    store.tag("local", "registry/app:1")
    with pytest.raises(ImageError, match=r"CannotPullContainerError.*registry/app:1"):
        store.published("registry/app:1")
    store.mark_pushed("registry/app:1")
    assert store.published("registry/app:1") == store.find("local")


def test_what_was_pushed_to_an_earlier_account_is_not_in_a_new_one(context: Path, store: ImageStore) -> None:
    image = store.build(context, tags=["registry/app:1"])
    store.mark_pushed("registry/app:1")
    store.empty_registry()
    with pytest.raises(ImageError, match="has not been pushed"):
        store.published("registry/app:1")
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
    rules = IgnoreRules([pattern])
    assert [path for path in ignored if not rules.ignores(PurePosixPath(path))] == []
    assert [path for path in kept if rules.ignores(PurePosixPath(path))] == []


class TestDockerCommand:
    """The calls of the CDK CLI (`cdk-assets`), in its words."""

    @pytest.fixture(autouse=True)
    def images(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: Path) -> None:
        monkeypatch.setenv("REHEARSAL_IMAGES", str(tmp_path / "images"))
        monkeypatch.chdir(context)

    def test_builds_in_the_working_directory(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert docker.main(["inspect", "cdkasset-1"]) == 1
        build = ["build", "--build-arg", "RELEASE=1", "--tag", "cdkasset-1", "--platform", "linux/amd64", "."]
        assert docker.main(build) == 0
        assert docker.main(["inspect", "cdkasset-1"]) == 0
        assert '"RELEASE=1"' in capsys.readouterr().out
        assert docker.main(["tag", "cdkasset-1", "111111111111.dkr.ecr.us-east-1.amazonaws.com/assets:1"]) == 0
        capsys.readouterr()
        docker.main(["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=*/*:1"])
        assert capsys.readouterr().out.split() == ["111111111111.dkr.ecr.us-east-1.amazonaws.com/assets:1"]

    def test_says_what_it_does_not_understand(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as exit_info:
            docker.main(["run", "anything"])
        assert exit_info.value.code == 125
        assert "only what the CDK CLI calls is supported" in capsys.readouterr().err

    def test_push_needs_a_registry_that_answers(
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
        assert docker.main(["push", "elsewhere/assets:1"]) == 1
        assert "is not in an ECR repository" in capsys.readouterr().err
