"""What a Dockerfile makes, without running it: the files it copies and the metadata it sets.

`COPY` and `ADD` of local files are done as written, stage by stage, so that a file that the Dockerfile forgets is
missing here too. `RUN` is not done: a process image takes its Python packages from `requirements.txt` instead
(see `images.py`), and what comes out of a `RUN` in another stage is skipped.
"""

import io
import json
import posixpath
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from dockerfile_parse import DockerfileParser
from dockerfile_parse.util import WordSplitter, get_key_val_dictionary

from rehearsal.compute.errors import ImageError


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """The metadata of an image."""

    base: str
    environment: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


class IgnoreRules:
    """`.dockerignore`: the last pattern that matches a path, or one of its parents, decides."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for line in (raw.strip() for raw in lines):
            if not line or line.startswith("#"):
                continue
            keeps = line.startswith("!")
            pattern = posixpath.normpath(line.removeprefix("!").strip().lstrip("/"))
            self._rules.append((keeps, re.compile(_pattern_expression(pattern) + r"(?:/.*)?")))

    @classmethod
    def of(cls, context: Path) -> "IgnoreRules":
        """Read the rules of a build context; there are none without a `.dockerignore`."""
        path = context / ".dockerignore"
        return cls(path.read_text().splitlines() if path.exists() else [])

    def ignores(self, path: PurePosixPath) -> bool:
        """Whether a file, relative to the context, is left out."""
        ignored = False
        for keeps, expression in self._rules:
            if expression.fullmatch(str(path)):
                ignored = not keeps
        return ignored


def build_root(
    context: Path, dockerfile: Path, destination: Path, *, target: str | None = None, arguments: Mapping[str, str]
) -> ImageConfig:
    """Copy what the Dockerfile copies into `destination` and return the final (or `target`) stage's metadata.

    Raises:
        ImageError: a file to copy does not exist, or the Dockerfile does something that needs a container engine.
    """
    builder = _Builder(context, destination.parent / f"{destination.name}-stages", arguments)
    try:
        stage = builder.run(_instructions(dockerfile), target)
        shutil.copytree(stage.root, destination, symlinks=True, dirs_exist_ok=True)
    finally:
        shutil.rmtree(builder.scratch, ignore_errors=True)
    return stage.config


@dataclass(kw_only=True)
class _Stage:
    name: str
    root: Path
    config: ImageConfig
    arguments: dict[str, str]


class _Builder:
    def __init__(self, context: Path, scratch: Path, arguments: Mapping[str, str]) -> None:
        self.scratch = scratch
        self._context = context
        self._given = arguments
        self._ignore = IgnoreRules.of(context)
        self._stages: list[_Stage] = []
        self._global: dict[str, str] = {}

    def run(self, instructions: Iterator[tuple[str, str]], target: str | None) -> _Stage:
        for name, value in instructions:
            if name == "FROM":
                if self._stages and self._stages[-1].name == target:
                    break
                self._from(value)
            elif not self._stages:
                self._global |= self._argument(value, self._global)
            else:
                self._apply(self._stages[-1], name, value)
        if not self._stages or (target is not None and self._stages[-1].name != target):
            raise ImageError(f"the Dockerfile in {self._context} has no stage {target or ''}".rstrip())
        return self._stages[-1]

    def _from(self, value: str) -> None:
        words = [word for word in _words(value, args=self._global, envs={}) if not word.startswith("--")]
        base, name = words[0], words[2] if len(words) > 2 else str(len(self._stages))
        root = self.scratch / str(len(self._stages))
        root.mkdir(parents=True)
        parent = next((stage for stage in self._stages if stage.name == base), None)
        config = ImageConfig(base=base)
        if parent is not None:
            shutil.copytree(parent.root, root, symlinks=True, dirs_exist_ok=True)
            config = parent.config
        self._stages.append(_Stage(name=name, root=root, config=config, arguments={}))

    def _apply(self, stage: _Stage, name: str, value: str) -> None:
        config = stage.config
        words = {"args": stage.arguments, "envs": dict(config.environment)}
        if name == "ARG":
            stage.arguments |= self._argument(value, self._global)
        elif name == "ENV":
            added = get_key_val_dictionary(value, env_replace=True, **words)
            stage.config = replace(config, environment={**config.environment, **added})
        elif name == "WORKDIR":
            workdir = posixpath.join(config.workdir, WordSplitter(value, **words).dequote())
            stage.config = replace(config, workdir=workdir)
            _inside(stage.root, workdir).mkdir(parents=True, exist_ok=True)
        elif name == "USER":
            stage.config = replace(config, user=WordSplitter(value, **words).dequote())
        elif name == "ENTRYPOINT":
            stage.config = replace(config, entrypoint=_command(value), command=())
        elif name == "CMD":
            stage.config = replace(config, command=_command(value))
        elif name in {"COPY", "ADD"}:
            self._copy(stage, _words(value, **words))
        # RUN, EXPOSE, LABEL, HEALTHCHECK (ECS ignores an image's), SHELL, STOPSIGNAL, VOLUME: nothing to copy.

    def _argument(self, value: str, defaults: Mapping[str, str]) -> dict[str, str]:
        name, _, default = value.partition("=")
        default = WordSplitter(default, args=dict(defaults), envs={}).dequote()
        return {name.strip(): self._given.get(name.strip(), default or defaults.get(name.strip(), ""))}

    def _copy(self, stage: _Stage, words: list[str]) -> None:
        options = dict(word.removeprefix("--").partition("=")[::2] for word in words if word.startswith("--"))
        *sources, target = [word for word in words if not word.startswith("--")]
        origin = self._origin(options.get("from"))
        if origin is None:
            return
        destination = _inside(stage.root, posixpath.join(stage.config.workdir, target))
        into_folder = target.endswith(("/", ".")) or len(sources) > 1
        for source in sources:
            found = sorted(_matches(origin, source))
            if not found and "from" not in options:
                raise ImageError(f"COPY {source}: there is no such file in the build context {self._context}")
            for path in found:
                self._copy_one(origin, path, destination, into_folder=into_folder or len(found) > 1)

    def _origin(self, stage_name: str | None) -> Path | None:
        """Return where to copy from: the context, an earlier stage, or None for an image that we do not have."""
        if stage_name is None:
            return self._context
        stages = {str(index): stage for index, stage in enumerate(self._stages[:-1])}
        stages |= {stage.name: stage for stage in self._stages[:-1]}
        return stages[stage_name].root if stage_name in stages else None

    def _copy_one(self, origin: Path, source: Path, destination: Path, *, into_folder: bool) -> None:
        if source.is_dir():
            for path in sorted(source.rglob("*")):
                self._copy_file(origin, path, destination / path.relative_to(source))
        else:
            self._copy_file(origin, source, destination / source.name if into_folder else destination)

    def _copy_file(self, origin: Path, source: Path, destination: Path) -> None:
        inside_context = origin == self._context
        if inside_context and self._ignore.ignores(PurePosixPath(source.relative_to(origin).as_posix())):
            return
        if source.is_dir() and not source.is_symlink():
            if not inside_context:
                destination.mkdir(parents=True, exist_ok=True)
            return  # a folder of the context comes into being with its first file that is not ignored
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, destination, follow_symlinks=False)


def _instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    if not dockerfile.exists():
        raise ImageError(f"{dockerfile} does not exist")
    parser = DockerfileParser(fileobj=io.StringIO(dockerfile.read_text()))
    for entry in parser.structure:
        if entry["instruction"] != "COMMENT":
            yield entry["instruction"].upper(), entry["value"]


def _words(value: str, *, args: dict[str, str], envs: dict[str, str]) -> list[str]:
    return [word for word in WordSplitter(value, args=args, envs=envs).split() if word]


def _command(value: str) -> tuple[str, ...]:
    """Read the exec form (a JSON list) or the shell form of a command."""
    try:
        words = json.loads(value)
    except ValueError:
        return ("/bin/sh", "-c", value)
    return tuple(words) if isinstance(words, list) else ("/bin/sh", "-c", value)


def _inside(root: Path, path: str) -> Path:
    """Return where an image's absolute path is below `root`; `..` cannot leave it."""
    return root / posixpath.normpath(posixpath.join("/", path)).lstrip("/")


def _matches(origin: Path, pattern: str) -> Iterator[Path]:
    relative = posixpath.normpath(posixpath.join("/", pattern)).lstrip("/")
    if relative in {"", "."}:
        yield origin
    elif any(character in relative for character in "*?["):
        yield from origin.glob(relative)
    elif (origin / relative).exists():
        yield origin / relative


def _pattern_expression(pattern: str) -> str:
    """Translate a pattern of Go's filepath.Match, plus `**` for any number of folders, into a regular expression."""
    expression = ""
    position = 0
    while position < len(pattern):
        rest = pattern[position:]
        if rest.startswith("**/"):
            expression, position = expression + "(?:.*/)?", position + 3
        elif rest.startswith("**"):
            expression, position = expression + ".*", position + 2
        elif bracket := re.match(r"\[\^?[^]]+]", rest):
            expression, position = expression + bracket.group(), position + bracket.end()
        else:
            expression += {"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0]))
            position += 1
    return expression
