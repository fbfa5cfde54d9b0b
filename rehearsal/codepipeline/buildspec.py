"""Build specifications (version 0.2) and the shell script that runs one.

Source: https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PHASES = ("install", "pre_build", "build", "post_build")


class BuildSpecError(Exception):
    """The build specification cannot be read; the message says where and why."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """The commands of a phase, and those that run in any case after them."""

    commands: tuple[str, ...] = ()
    finally_commands: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Output:
    """Which files of the build become an artifact."""

    base_directory: str = "."
    files: tuple[str, ...] = ("**/*",)


@dataclass(frozen=True, kw_only=True)
class BuildSpec:
    """A build specification as the runner needs it."""

    phases: Mapping[str, Phase]
    shell: str = "sh"
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    exported_variables: tuple[str, ...] = ()
    output: Output | None = None
    secondary_outputs: Mapping[str, Output] = field(default_factory=dict)
    cache_paths: tuple[str, ...] = ()
    reports: Mapping[str, str] = field(default_factory=dict)
    """Report group, by name or ARN, and the format of its files."""

    @classmethod
    def load(cls, text: str, source: Path) -> "BuildSpec":
        """Read an inline specification, or the file of the source that `text` names (`buildspec.yml` when empty)."""
        where = "inline build specification"
        if "\n" not in text.strip() and not text.lstrip().startswith("{"):
            where = text.strip() or "buildspec.yml"
            file = source / where
            if not file.is_file():
                msg = f"build specification {where} is not in the input artifact"
                raise BuildSpecError(msg)
            text = file.read_text(encoding="utf-8")
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            msg = f"{where} is not valid YAML: {error}"
            raise BuildSpecError(msg) from error
        if not isinstance(data, dict) or str(data.get("version")) != "0.2":
            msg = f"{where} is not a build specification of version 0.2"
            raise BuildSpecError(msg)
        return cls._parse(data)

    @classmethod
    def _parse(cls, data: Mapping[str, Any]) -> "BuildSpec":
        env = data.get("env") or {}
        artifacts = data.get("artifacts") or {}
        return cls(
            phases={
                name: Phase(commands=_strings(phase.get("commands")), finally_commands=_strings(phase.get("finally")))
                for name, phase in (data.get("phases") or {}).items()
            },
            shell=env.get("shell", "sh"),
            variables={key: str(value) for key, value in (env.get("variables") or {}).items()},
            secrets=env.get("secrets-manager") or {},
            parameters=env.get("parameter-store") or {},
            exported_variables=_strings(env.get("exported-variables")),
            output=_output(artifacts) if "files" in artifacts else None,
            secondary_outputs={
                name: _output(item) for name, item in (artifacts.get("secondary-artifacts") or {}).items()
            },
            cache_paths=_strings((data.get("cache") or {}).get("paths")),
            reports={
                str(group): str(report.get("file-format", "JUNITXML"))
                for group, report in (data.get("reports") or {}).items()
            },
        )

    def interpreter(self) -> list[str]:
        """The command that runs the script. The build images' `sh` is bash in POSIX mode."""
        return ["bash", "--posix"] if self.shell == "sh" else [self.shell]

    def script(self, exports: Path) -> str:
        """One shell script for all phases: state carries over from command to command, as in CodeBuild.

        The first failing command ends its phase. `post_build` still runs after a failed `build`, nothing runs after
        a failed `install` or `pre_build`. At the end the exported variables are written to `exports`,
        name and value each ended by NUL.
        """
        lines = [_PRELUDE, f"trap '__exports > {shlex.quote(str(exports))}' EXIT", "__exports() {", "  :"]
        lines += [
            f"  printf '%s\\0%s\\0' {shlex.quote(name)} \"${{{name}-}}\""
            for name in self.exported_variables
            if name.isidentifier()
        ]
        lines += ["}", "__result=0"]
        for name in PHASES:
            phase = self.phases.get(name)
            if phase is None:
                continue
            guard = '[ "$__stopped" = no ]' if name == "post_build" else '[ "$__result" -eq 0 ]'
            commands = " ".join(shlex.quote(command) for command in phase.commands)
            finals = " ".join(shlex.quote(command) for command in phase.finally_commands)
            lines += [
                f"if {guard}; then",
                f"  __phase {name} {commands}",
                f"  __finally {name} {finals}" if finals else "  :",
                "fi",
            ]
        lines.append("exit $__result")
        return "\n".join(lines) + "\n"


_PRELUDE = r"""
__stopped=no
export CODEBUILD_BUILD_SUCCEEDING=1
__phase() {
  __name=$1; shift
  echo "[Container] Entering phase $__name"
  for __command in "$@"; do
    echo "[Container] Running command $__command"
    eval "$__command"
    __status=$?
    if [ $__status -ne 0 ]; then
      echo "[Container] Command did not exit successfully: $__command (exit status $__status)"
      __result=$__status
      CODEBUILD_BUILD_SUCCEEDING=0
      case $__name in install|pre_build) __stopped=yes;; esac
      break
    fi
  done
}
__finally() {
  shift
  for __command in "$@"; do
    echo "[Container] Running command $__command"
    eval "$__command"
    __status=$?
    [ $__status -eq 0 ] || __result=$__status
  done
}
"""


def _strings(value: object) -> tuple[str, ...]:
    """A YAML value that may be one string or a list of them."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    msg = f"expected a string or a list of strings in the build specification, got {value!r}"
    raise BuildSpecError(msg)


def _output(data: Mapping[str, Any]) -> Output:
    return Output(base_directory=data.get("base-directory", "."), files=_strings(data.get("files")))
