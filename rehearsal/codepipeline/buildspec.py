"""Build specifications (version 0.2), and the shell script that runs one.

What is not implemented is refused by name.
Source: https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_PHASES = ("install", "pre_build", "build")


class BuildSpecError(Exception):
    """The build specification is invalid or uses something that is not implemented."""


@dataclass(frozen=True, kw_only=True)
class BuildSpec:
    """A build specification."""

    #: Phase name to its commands.
    phases: Mapping[str, tuple[str, ...]]
    shell: str = "sh"
    exported_variables: tuple[str, ...] = ()
    #: The base directory of the primary artifact, if there is one.
    output: str | None = None
    #: Artifact identifier to base directory.
    secondary_outputs: Mapping[str, str] = field(default_factory=dict)
    cache_paths: tuple[str, ...] = ()
    #: Report group ARN to the format of its files.
    reports: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, text: str, source: Path) -> "BuildSpec":
        """Load an inline specification, or the file of the source that `text` names.

        Raises:
            BuildSpecError: The specification is missing, invalid or not supported.

        """
        where = "inline build specification"
        if "\n" not in text.strip() and not text.lstrip().startswith("{"):
            where = text.strip()
            file = source / where
            if not file.is_file():
                raise BuildSpecError(f"build specification {where} is not in the input artifact")
            text = file.read_text(encoding="utf-8")
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise BuildSpecError(f"{where} is not valid YAML: {error}") from error
        if not isinstance(data, dict) or str(data.get("version")) != "0.2":
            raise BuildSpecError(f"{where} is not a build specification of version 0.2")
        return cls._parse(data)

    @classmethod
    def _parse(cls, data: Mapping[str, Any]) -> "BuildSpec":
        env, phases, artifacts = (_members(data, name) for name in ("env", "phases", "artifacts"))
        _refuse_others("the build specification", data, "version", "env", "phases", "artifacts", "cache", "reports")
        _refuse_others("env", env, "shell", "exported-variables")
        _refuse_others("phases", phases, *_PHASES)
        for name, phase in phases.items():
            _refuse_others(f"phase {name}", phase, "commands", "runtime-versions")
        return cls(
            phases={name: _strings(phase.get("commands")) for name, phase in phases.items()},
            shell=env.get("shell", "sh"),
            exported_variables=_strings(env.get("exported-variables")),
            output=_base_directory(artifacts) if "files" in artifacts else None,
            secondary_outputs={
                name: _base_directory(item) for name, item in _members(artifacts, "secondary-artifacts").items()
            },
            cache_paths=_strings(_members(data, "cache").get("paths")),
            reports={
                str(group): str(report.get("file-format", "JUNITXML"))
                for group, report in _members(data, "reports").items()
            },
        )

    def interpreter(self) -> list[str]:
        """Return the command that runs the script. In the build images `sh` is bash in POSIX mode."""
        return ["bash", "--posix"] if self.shell == "sh" else [self.shell]

    def script(self, exports: Path) -> str:
        """Return one shell script for all phases, since shell state carries over from command to command in CodeBuild.

        The first command that fails ends the build. The script always writes the exported variables to `exports`, name
        and value each terminated by NUL.
        """
        lines = [_PRELUDE, f"trap '__exports > {shlex.quote(str(exports))}' EXIT", "__exports() {", "  :"]
        lines += [
            f"  printf '%s\\0%s\\0' {shlex.quote(name)} \"${{{name}-}}\""
            for name in self.exported_variables
            if name.isidentifier()
        ]
        lines.append("}")
        for name in _PHASES:
            if name in self.phases:
                lines.append(f"echo '[Container] Entering phase {name}'")
                lines += [f"__run {shlex.quote(command)}" for command in self.phases[name]]
        return "\n".join(lines) + "\n"


_PRELUDE = r"""
__run() {
  echo "[Container] Running command $1"
  eval "$1"
  __status=$?
  if [ $__status -ne 0 ]; then
    echo "[Container] Command did not exit successfully: $1 (exit status $__status)"
    exit $__status
  fi
}
"""


def _members(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return data.get(name) or {}


def _refuse_others(where: str, data: Mapping[str, Any], *known: str) -> None:
    for name in data:
        if name not in known:
            raise BuildSpecError(f"`{name}` in {where} is not supported by the rehearsal")


def _strings(value: object) -> tuple[str, ...]:
    """Return the strings of a YAML value that may be one string or a list of strings."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    raise BuildSpecError(f"expected a string or a list of strings in the build specification, got {value!r}")


def _base_directory(artifact: Mapping[str, Any]) -> str:
    if _strings(artifact.get("files")) != ("**/*",):
        raise BuildSpecError(f"artifact files {artifact.get('files')} are not supported by the rehearsal; use **/*")
    return str(artifact.get("base-directory", "."))
