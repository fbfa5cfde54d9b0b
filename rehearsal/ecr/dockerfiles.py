"""The result of a Dockerfile without running it: the files that it copies and the metadata that it sets.

`COPY` is done as written, stage by stage, so that a file that the Dockerfile forgets is missing here too. `RUN` is not:
an image gets its Python packages from `requirements.txt` instead (see `images.py`), and the result of a `RUN` in
another stage is skipped. Instructions that are not implemented are refused.
"""

import io
import json
import posixpath
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dockerfile_parse import DockerfileParser
from dockerfile_parse.util import WordSplitter, get_key_val_dictionary
from pathspec import PathSpec
from pathspec.pattern import Pattern

from rehearsal.host.errors import ImageError

#: Instructions without an effect on files or on the metadata that is used here; ECS ignores an image's health check.
_IGNORED = frozenset({"RUN", "EXPOSE", "HEALTHCHECK"})


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """The metadata of an image."""

    environment: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = ""
    command: tuple[str, ...] = ()


def ignore_rules(lines: list[str]) -> PathSpec[Pattern]:
    """Return the rules of a `.dockerignore`: like Git's, but every pattern is relative to the context's root."""
    patterns = []
    for line in (raw.strip() for raw in lines):
        if line and not line.startswith("#"):
            negation = "!" if line.startswith("!") else ""
            patterns.append(f"{negation}/{posixpath.normpath(line.removeprefix('!').strip().strip('/'))}")
    return PathSpec.from_lines("gitignore", patterns)


def build_root(context: Path, destination: Path) -> ImageConfig:
    """Copy the files of the final stage of a context's Dockerfile into `destination`.

    Returns:
        The metadata of the final stage.

    Raises:
        ImageError: The Dockerfile or a file that it copies does not exist, or it uses an unsupported instruction.

    """
    builder = _Builder(context, destination.parent / f"{destination.name}-stages")
    try:
        stage = builder.run(_instructions(context / "Dockerfile"))
        shutil.copytree(stage.root, destination, symlinks=True, dirs_exist_ok=True)
    finally:
        shutil.rmtree(builder.scratch, ignore_errors=True)
    return stage.config


@dataclass(kw_only=True)
class _Stage:
    name: str
    root: Path
    config: ImageConfig = field(default_factory=ImageConfig)


class _Builder:
    def __init__(self, context: Path, scratch: Path) -> None:
        self.scratch = scratch
        self._context = context
        ignore_file = context / ".dockerignore"
        self._ignored = ignore_rules(ignore_file.read_text().splitlines() if ignore_file.exists() else [])
        self._stages: list[_Stage] = []

    def run(self, instructions: Iterator[tuple[str, str]]) -> _Stage:
        for name, value in instructions:
            if name == "FROM":
                self._begin_stage(value.split())
            elif self._stages and name not in _IGNORED:
                self._apply(self._stages[-1], name, value)
        if not self._stages:
            raise ImageError(f"the Dockerfile in {self._context} has no FROM")
        return self._stages[-1]

    def _begin_stage(self, words: list[str]) -> None:
        root = self.scratch / str(len(self._stages))
        root.mkdir(parents=True)
        self._stages.append(_Stage(name=words[2] if len(words) > 2 else str(len(self._stages)), root=root))

    def _apply(self, stage: _Stage, name: str, value: str) -> None:
        config = stage.config
        environment = dict(config.environment)
        words = WordSplitter(value, args={}, envs=environment)
        match name:
            case "ENV":
                added = get_key_val_dictionary(value, env_replace=True, args={}, envs=environment)
                stage.config = replace(config, environment={**environment, **added})
            case "WORKDIR":
                stage.config = replace(config, workdir=posixpath.join(config.workdir, words.dequote()))
                _inside(stage.root, stage.config.workdir).mkdir(parents=True, exist_ok=True)
            case "USER":
                stage.config = replace(config, user=words.dequote())
            case "CMD":
                stage.config = replace(config, command=tuple(json.loads(value)))
            case "COPY":
                self._copy(stage, [word for word in words.split() if word])
            case _:
                raise ImageError(f"the Dockerfile instruction {name} is not supported by the rehearsal")

    def _copy(self, stage: _Stage, words: list[str]) -> None:
        option = words.pop(0) if words[0].startswith("--") else ""
        if option and not option.startswith("--from="):
            raise ImageError(f"COPY {option} is not supported by the rehearsal")
        origin = self._origin(option.removeprefix("--from="))
        *sources, target = words
        destination = _inside(stage.root, posixpath.join(stage.config.workdir, target))
        for source in sources:
            path = _inside(origin, source)
            if path.is_dir():
                self._copy_folder(origin, path, destination)
            elif path.exists():
                into_folder = target.endswith(("/", ".")) or len(sources) > 1
                self._copy_file(origin, path, destination / path.name if into_folder else destination)
            elif not option:
                raise ImageError(f"COPY {source}: the build context {self._context} has no such file")

    def _origin(self, stage_name: str) -> Path:
        """Return the folder to copy from: an earlier stage's, or the context."""
        if not stage_name:
            return self._context
        for stage in self._stages[:-1]:
            if stage.name == stage_name:
                return stage.root
        raise ImageError(f"COPY --from={stage_name}: the Dockerfile has no such stage before")

    def _copy_folder(self, origin: Path, source: Path, destination: Path) -> None:
        for path in sorted(source.rglob("*")):
            if path.is_symlink() or path.is_file():
                self._copy_file(origin, path, destination / path.relative_to(source))

    def _copy_file(self, origin: Path, source: Path, destination: Path) -> None:
        if origin == self._context and self._ignored.match_file(source.relative_to(origin).as_posix()):
            return
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, destination, follow_symlinks=False)


def _instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    if not dockerfile.exists():
        raise ImageError(f"{dockerfile} does not exist")
    parser = DockerfileParser(fileobj=io.StringIO(dockerfile.read_text()))
    for entry in parser.structure:
        if entry["instruction"] != "COMMENT":
            yield entry["instruction"].upper(), entry["value"]


def _inside(root: Path, path: str) -> Path:
    """Return where an absolute path of an image is below `root`; `..` cannot leave it."""
    return root / posixpath.normpath(posixpath.join("/", path)).lstrip("/")
