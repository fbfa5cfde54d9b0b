"""What AWS's build image brings: an interpreter, Node, npm, a docker command, and roots of trust."""

import os
import shlex
import shutil
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rehearsal.compute.engine import PROGRAM_VARIABLE, Engine, client_environment

# What a build may see of this machine: how to reach package registries and whom to trust, nothing of the person.
_PASSED_ON = ("LANG", "LC_ALL", "TZ", "TERM", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_PASSED_ON_PREFIXES = ("PIP_", "UV_", "NPM_CONFIG_")
_NEVER = ("UV_CACHE_DIR", "NPM_CONFIG_CACHE", "PIP_CERT")
_TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_CERT")


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """The build image's tools, as links and scripts in a folder of the workspace."""

    folder: Path
    checkout: Path
    images: Path
    engine: Engine | None = None

    def install(self) -> None:
        """Make the folder; what is there already stays."""
        binaries = self.folder / "bin"
        binaries.mkdir(parents=True, exist_ok=True)
        if not (self._python / "bin" / "python3").exists():
            # An environment of its own, so that a build's `pip install` does not reach this machine's Python.
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(self._python)], check=True)
        for tool in ("node", "npm", "npx"):
            link = binaries / tool
            link.unlink(missing_ok=True)
            link.symlink_to(self.checkout / ".venv" / "nodejs" / tool)
        self._install_docker(binaries / "docker")

    def environment(self, *, home: Path, trust: Path, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The environment of a fresh build: nothing of the caller's but its language, proxies and package sources."""
        kept = {
            name: value
            for name, value in base.items()
            if name.upper() in _PASSED_ON
            or (name.upper().startswith(_PASSED_ON_PREFIXES) and name.upper() not in _NEVER)
        }
        machine = [part for part in base.get("PATH", "").split(os.pathsep) if not part.startswith(str(self.checkout))]
        globally = self.folder / "npm"
        path = [self.folder / "bin", self._python / "bin", globally / "bin", *machine]
        return kept | {
            "PATH": os.pathsep.join(str(part) for part in path),
            "HOME": str(home),
            "JSII_NODE": str(self.folder / "bin" / "node"),
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(self.checkout / ".run" / "cache" / "jsii"),
            "npm_config_prefix": str(globally),
            "npm_config_cache": str(self.checkout / ".run" / "cache" / "npm"),
            "UV_CACHE_DIR": str(self._uv_cache),
            "TMPDIR": str(_made(home / "tmp")),
            **dict.fromkeys(_TRUST, str(trust)),
        }

    def _install_docker(self, script: Path) -> None:
        """Write the docker command of the builds: images become folders, and an engine's where there is one."""
        variables = {
            **(client_environment() if self.engine else {}),
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "REHEARSAL_IMAGES": str(self.images),
            "UV_CACHE_DIR": str(self._uv_cache),
            PROGRAM_VARIABLE: self.engine.program if self.engine else "",
        }
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        command = f'exec {shlex.quote(sys.executable)} -m rehearsal.compute.docker "$@"\n'
        script.write_text(f"#!/bin/sh\n{exports}{command}", encoding="utf-8")
        script.chmod(0o755)

    @property
    def _python(self) -> Path:
        version = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
        return self.folder / f"python-{version}"

    @property
    def _uv_cache(self) -> Path:
        return self.checkout / ".run" / "cache" / "uv"


def write_trust(target: Path, ca_file: Path) -> None:
    """Write this machine's trusted roots and the rehearsal's own into one PEM file."""
    machine = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    with target.open("wb") as bundle:
        for source in (machine, ca_file):
            if source and Path(source).is_file():
                with Path(source).open("rb") as roots:
                    shutil.copyfileobj(roots, bundle)
                bundle.write(b"\n")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
