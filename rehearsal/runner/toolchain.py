"""The tools of AWS's build image: an interpreter, Node, npm, a docker command, and roots of trust."""

import os
import shlex
import shutil
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rehearsal.ecr.container_engine import PROGRAM_VARIABLE, ContainerEngine, client_environment
from rehearsal.ecr.docker import IMAGES_VARIABLE
from rehearsal.runner.workspace import Workspace

# What a build inherits from the user: how to reach package registries and whom to trust, nothing else.
_INHERITED = ("LANG", "LC_ALL", "TZ", "TERM", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_INHERITED_PREFIXES = ("PIP_", "UV_", "NPM_CONFIG_")
_NOT_INHERITED = ("UV_CACHE_DIR", "NPM_CONFIG_CACHE", "PIP_CERT")
_TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_CERT")


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """The tools, as links and scripts in a folder of the workspace."""

    workspace: Workspace
    images: Path
    engine: ContainerEngine | None = None

    def install(self) -> None:
        """Create the folder; what it already has stays."""
        binaries = self.workspace.toolchain / "bin"
        binaries.mkdir(parents=True, exist_ok=True)
        if not (self._python / "bin" / "python3").exists():
            # A virtual environment, so that a build's `pip install` does not reach this machine's Python.
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(self._python)], check=True)
        for tool in ("node", "npm", "npx"):
            program = shutil.which(tool)
            link = binaries / tool
            link.unlink(missing_ok=True)
            if program:
                link.symlink_to(program)
        self._install_docker(binaries / "docker")

    def environment(self, *, trust: Path, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the environment of a build.

        Args:
            trust: The file of trusted root certificates.
            base: The environment of the user, of which language, proxies and package sources are inherited.

        """
        inherited = {
            name: value
            for name, value in base.items()
            if name.upper() in _INHERITED
            or (name.upper().startswith(_INHERITED_PREFIXES) and name.upper() not in _NOT_INHERITED)
        }
        workspace, folder = self.workspace, self.workspace.toolchain
        machine = [
            part for part in base.get("PATH", "").split(os.pathsep) if not part.startswith(str(workspace.checkout))
        ]
        path = [folder / "bin", self._python / "bin", folder / "npm" / "bin", *machine]
        temporary = workspace.home / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        return inherited | {
            "PATH": os.pathsep.join(str(part) for part in path),
            "HOME": str(workspace.home),
            "JSII_NODE": str(folder / "bin" / "node"),
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(workspace.caches / "jsii"),
            "npm_config_prefix": str(folder / "npm"),
            "npm_config_cache": str(workspace.caches / "npm"),
            "UV_CACHE_DIR": str(workspace.caches / "uv"),
            "TMPDIR": str(temporary),
            **dict.fromkeys(_TRUST, str(trust)),
        }

    def _install_docker(self, script: Path) -> None:
        """Write the docker command of builds; see `rehearsal.ecr.docker`."""
        variables = {
            **(client_environment() if self.engine else {}),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            IMAGES_VARIABLE: str(self.images),
            "UV_CACHE_DIR": str(self.workspace.caches / "uv"),
            # Builds have an environment of their own: without it, bytecode is written beside this tool's sources.
            "PYTHONPYCACHEPREFIX": str(self.workspace.caches / "python"),
            PROGRAM_VARIABLE: self.engine.program if self.engine else "",
        }
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        command = f'exec {shlex.quote(sys.executable)} -m rehearsal.ecr.docker "$@"\n'
        script.write_text(f"#!/bin/sh\n{exports}{command}", encoding="utf-8")
        script.chmod(0o755)

    @property
    def _python(self) -> Path:
        version = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
        return self.workspace.toolchain / f"python-{version}"


def write_trust(target: Path, ca_file: Path) -> None:
    """Write the trusted roots of this machine and of the rehearsal into one PEM file."""
    machine = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    with target.open("wb") as bundle:
        for source in (machine, ca_file):
            if source and Path(source).is_file():
                with Path(source).open("rb") as roots:
                    shutil.copyfileobj(roots, bundle)
                bundle.write(b"\n")
