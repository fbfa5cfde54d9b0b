"""The image store: an image is a folder with its files and a virtual environment with its Python packages.

The packages are those of the hashed `requirements.txt` of the build context, installed by uv into a virtual environment
that all images with the same requirements share. The interpreter is this machine's, not that of the base image.
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
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rehearsal.ecr.dockerfiles import ImageConfig, build_root
from rehearsal.host.errors import ImageError

_REQUIREMENTS = "requirements.txt"


@dataclass(frozen=True, kw_only=True)
class Image:
    """A built image."""

    digest: str
    #: Its id in the container engine that built it too; empty without one.
    engine_id: str
    #: The folder with its files.
    root: Path
    #: The virtual environment with its packages.
    venv: Path
    config: ImageConfig

    def path(self, path: str) -> Path:
        """Return where an absolute path of the image is on this machine."""
        return self.root / os.path.normpath(f"/{path}").lstrip("/")


class ImageStore:
    """The images below one folder; several processes may use it concurrently."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._references = self._directory / "references"
        self._venvs = self._directory / "venvs"
        for folder in (self._references, self._venvs):
            folder.mkdir(parents=True, exist_ok=True)

    def build(self, context: Path, *, tags: Sequence[str], engine_id: str = "") -> Image:
        """Build an image from a context folder and tag it.

        Raises:
            ImageError: The Dockerfile is invalid or unsupported, or the packages cannot be installed.

        """
        scratch = self._directory / "builds" / uuid.uuid4().hex
        root = scratch / "root"
        try:
            root.mkdir(parents=True)
            config = build_root(context, root)
            venv = self._ensure_venv(context / _REQUIREMENTS)
            digest = _digest(root, config, venv, engine_id)
            home = self._directory / digest.removeprefix("sha256:")
            if not home.exists():
                compileall.compile_dir(root, quiet=2, stripdir=str(root), prependdir="/")
                metadata = {"digest": digest, "engine_id": engine_id, "venv": venv.name, "config": asdict(config)}
                (scratch / "image.json").write_text(json.dumps(metadata, indent=2))
                with contextlib.suppress(OSError):  # a concurrent build of the same image was faster
                    scratch.rename(home)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        for tag in tags:
            self._write_reference(tag, digest, pushed=False)
        return self._load(digest)

    def find(self, reference: str) -> Image | None:
        """Return the image with a tag; None when there is none."""
        entry = self._reference(reference)
        return self._load(entry["digest"]) if entry else None

    def pull(self, reference: str) -> Image:
        """Return an image that was pushed under a reference.

        Raises:
            ImageError: No image was.

        """
        entry = self._reference(reference)
        if entry is None or not entry["pushed"]:
            raise ImageError(f"CannotPullContainerError: {reference} has not been pushed to the registry")
        return self._load(entry["digest"])

    def tag(self, source: str, target: str) -> None:
        """Add a tag to an image.

        Raises:
            ImageError: There is no image with the tag `source`.

        """
        self._write_reference(target, self._require(source)["digest"], pushed=False)

    def mark_pushed(self, reference: str) -> Image:
        """Record that the registry has an image.

        Raises:
            ImageError: There is no such image.

        """
        digest = self._require(reference)["digest"]
        self._write_reference(reference, digest, pushed=True)
        return self._load(digest)

    def empty_registry(self) -> None:
        """Forget what was pushed, since a new account has no images; the images stay, so that builds are fast."""
        for path in self._references.glob("*.json"):
            entry = json.loads(path.read_text())
            if entry["pushed"]:
                self._write_reference(entry["reference"], entry["digest"], pushed=False)

    def references(self, pattern: str = "*") -> list[str]:
        """Return the tags that match a shell pattern, sorted."""
        names = (json.loads(path.read_text())["reference"] for path in self._references.glob("*.json"))
        return sorted(name for name in names if fnmatch.fnmatchcase(name, pattern))

    def _reference(self, reference: str) -> dict[str, str] | None:
        path = self._reference_file(reference)
        if not path.exists():
            return None
        entry: dict[str, str] = json.loads(path.read_text())
        return entry

    def _require(self, reference: str) -> dict[str, str]:
        entry = self._reference(reference)
        if entry is None:
            raise ImageError(f"no such image: {reference}")
        return entry

    def _write_reference(self, reference: str, digest: str, *, pushed: bool) -> None:
        entry = {"reference": reference, "digest": digest, "pushed": pushed}
        path = self._reference_file(reference)
        draft = path.with_suffix(f".{uuid.uuid4().hex}")
        draft.write_text(json.dumps(entry))
        draft.replace(path)

    def _reference_file(self, reference: str) -> Path:
        return self._references / f"{hashlib.sha256(reference.encode()).hexdigest()[:32]}.json"

    def _load(self, digest: str) -> Image:
        home = self._directory / digest.removeprefix("sha256:")
        metadata = json.loads((home / "image.json").read_text())
        config = metadata["config"]
        return Image(
            digest=digest,
            engine_id=metadata["engine_id"],
            root=home / "root",
            venv=self._venvs / metadata["venv"],
            config=ImageConfig(**{**config, "command": tuple(config["command"])}),
        )

    def _ensure_venv(self, requirements: Path) -> Path:
        """Return the virtual environment of these requirements, and create it if it does not exist."""
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
    sibling = Path(sys.executable).parent / "uv"
    found = str(sibling) if sibling.exists() else shutil.which("uv")
    if found is None:
        raise ImageError("uv, which installs the Python packages of images, is not on the PATH")
    return found


def _run(command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ImageError(f"{' '.join(command[:3])} exited with status {result.returncode}:\n{result.stderr.strip()}")


def _digest(root: Path, config: ImageConfig, venv: Path, engine_id: str) -> str:
    """Hash the contents of an image: every path with its mode and content, the packages and the metadata."""
    total = hashlib.sha256(json.dumps([asdict(config), venv.name, engine_id], sort_keys=True).encode())
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = str(path.readlink()).encode() if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()
        entry = [path.relative_to(root).as_posix(), status.st_mode, hashlib.sha256(content).hexdigest()]
        total.update(json.dumps(entry).encode())
    return f"sha256:{total.hexdigest()}"
