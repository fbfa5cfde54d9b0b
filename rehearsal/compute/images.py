"""The store of process images: what an image would hold, as a folder, and a virtual environment for its packages.

An image's Python packages are those of the hashed `requirements.txt` of its build context, installed by `uv` into a
virtual environment that every image with the same requirements shares. The interpreter is this machine's, not
that of the image in `FROM`.
"""

import compileall
import contextlib
import fcntl
import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rehearsal.compute.dockerfiles import ImageConfig, build_root
from rehearsal.compute.errors import ImageError

REQUIREMENTS = "requirements.txt"


@dataclass(frozen=True, kw_only=True)
class Image:
    """A built image: its root file system, its virtual environment and its metadata.

    `engine_id` is its id at the container engine that built it too; empty where none did.
    """

    digest: str
    engine_id: str
    root: Path
    venv: Path
    config: ImageConfig

    def path(self, path: str) -> Path:
        """Return where an absolute path of the image is on this machine."""
        return self.root / os.path.normpath(f"/{path}").lstrip("/")


class ImageStore:
    """Images below one folder; several processes may use it at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._references = self._directory / "references"
        self._venvs = self._directory / "venvs"
        for folder in (self._references, self._venvs):
            folder.mkdir(parents=True, exist_ok=True)

    def build(
        self,
        context: Path,
        *,
        tags: Sequence[str],
        dockerfile: Path | None = None,
        target: str | None = None,
        arguments: Mapping[str, str] | None = None,
        engine_id: str = "",
    ) -> Image:
        """Build an image from a context folder and tag it.

        Raises:
            ImageError: the Dockerfile cannot be followed, or its packages cannot be installed.
        """
        scratch = self._directory / "builds" / uuid.uuid4().hex
        root = scratch / "root"
        try:
            root.mkdir(parents=True)
            config = build_root(
                context, dockerfile or context / "Dockerfile", root, target=target, arguments=arguments or {}
            )
            venv = self._ensure_venv(context / REQUIREMENTS)
            digest = _digest(root, config, venv, engine_id)
            home = self._directory / digest.removeprefix("sha256:")
            if not home.exists():
                compileall.compile_dir(root, quiet=2, stripdir=str(root), prependdir="/")
                metadata = {"digest": digest, "engine_id": engine_id, "venv": venv.name, "config": asdict(config)}
                (scratch / "image.json").write_text(json.dumps(metadata, indent=2))
                with contextlib.suppress(OSError):  # another build of the same image was faster
                    scratch.rename(home)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        for tag in tags:
            self._point(tag, digest, pushed=False)
        return self._load(digest)

    def find(self, reference: str) -> Image | None:
        """Return the image that a tag names, if there is one."""
        entry = self._entry(reference)
        return self._load(entry["digest"]) if entry else None

    def published(self, reference: str) -> Image:
        """Return an image that was pushed under this reference.

        Raises:
            ImageError: nothing was, as a container engine's pull would say.
        """
        entry = self._entry(reference)
        if entry is None or not entry["pushed"]:
            raise ImageError(f"CannotPullContainerError: {reference} has not been pushed to the registry")
        return self._load(entry["digest"])

    def tag(self, source: str, target: str) -> None:
        """Give an image another name."""
        entry = self._entry(source)
        if entry is None:
            raise ImageError(f"no such image: {source}")
        self._point(target, entry["digest"], pushed=False)

    def mark_pushed(self, reference: str) -> Image:
        """Record that the registry holds this image."""
        entry = self._entry(reference)
        if entry is None:
            raise ImageError(f"no such image: {reference}; build and tag it first")
        self._point(reference, entry["digest"], pushed=True)
        return self._load(entry["digest"])

    def empty_registry(self) -> None:
        """Forget what was pushed: a new account's registry is empty. The images stay, so that builds are quick."""
        for path in self._references.glob("*.json"):
            entry = json.loads(path.read_text())
            if entry["pushed"]:
                self._point(entry["reference"], entry["digest"], pushed=False)

    def references(self, pattern: str = "*") -> list[str]:
        """Return the tags that match a shell pattern, sorted."""
        names = (json.loads(path.read_text())["reference"] for path in self._references.glob("*.json"))
        return sorted(name for name in names if fnmatch.fnmatchcase(name, pattern))

    def _entry(self, reference: str) -> dict[str, str] | None:
        path = self._reference_file(reference)
        if not path.exists():
            return None
        entry: dict[str, str] = json.loads(path.read_text())
        return entry

    def _point(self, reference: str, digest: str, *, pushed: bool) -> None:
        entry = {"reference": reference, "digest": digest, "pushed": pushed}
        path = self._reference_file(reference)
        temporary = path.with_suffix(f".{uuid.uuid4().hex}")
        temporary.write_text(json.dumps(entry))
        temporary.replace(path)

    def _reference_file(self, reference: str) -> Path:
        return self._references / f"{hashlib.sha256(reference.encode()).hexdigest()[:32]}.json"

    def _load(self, digest: str) -> Image:
        home = self._directory / digest.removeprefix("sha256:")
        metadata = json.loads((home / "image.json").read_text())
        config = metadata["config"]
        for name in ("entrypoint", "command"):
            config[name] = tuple(config[name])
        return Image(
            digest=digest,
            engine_id=metadata.get("engine_id", ""),
            root=home / "root",
            venv=self._venvs / metadata["venv"],
            config=ImageConfig(**config),
        )

    def _ensure_venv(self, requirements: Path) -> Path:
        """Return the virtual environment for these requirements, made when there is none yet."""
        content = requirements.read_bytes() if requirements.exists() else b""
        version = f"{sys.implementation.cache_tag}:{sys.base_prefix}"
        venv = self._venvs / hashlib.sha256(content + version.encode()).hexdigest()[:24]
        complete = venv / "complete"
        if complete.exists():
            return venv
        with _locked(venv.with_suffix(".lock")):
            if not complete.exists():
                shutil.rmtree(venv, ignore_errors=True)
                uv = _uv()
                _run([uv, "venv", "--quiet", "--python", sys.executable, "--no-project", str(venv)])
                if any(line.strip() and not line.lstrip().startswith(b"#") for line in content.splitlines()):
                    install = [uv, "pip", "sync", "--quiet", "--python", str(venv / "bin" / "python")]
                    _run([*install, "--require-hashes", "--compile-bytecode", str(requirements)])
                complete.touch()
        return venv


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise ImageError("uv, which installs an image's Python packages, is missing; run `make setup`")
    return found


def _run(command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ImageError(f"{' '.join(command[:3])} ended with {result.returncode}:\n{result.stderr.strip()}")


def _digest(root: Path, config: ImageConfig, venv: Path, engine_id: str) -> str:
    """Hash what the image is made of: every path with its mode and content, the packages and the metadata."""
    total = hashlib.sha256(json.dumps([asdict(config), venv.name, engine_id], sort_keys=True).encode())
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = str(path.readlink()).encode() if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()
        entry = [path.relative_to(root).as_posix(), status.st_mode, hashlib.sha256(content).hexdigest()]
        total.update(json.dumps(entry).encode())
    return f"sha256:{total.hexdigest()}"
