"""Static analysis with several tools and one report format: `python -m pipeline.gates.static ruff|sast|...`.

Each tool prints JSON, which becomes findings, so that all tools report alike.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.gates.findings import Finding, GateError, GateResult, fail

#: JSON of other programs, each in a form of its own.
Json = Any

#: What is deployed, or defines what is deployed. Tests and the rehearsal never run in an account.
SHIPPED = ("app.py", "kit", "pipeline", "stages", "service", "integ")


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A static analyser."""

    command: Sequence[str]
    #: Glob patterns of the files that it checks, which are counted.
    files: Sequence[str]
    #: Turns its JSON into findings.
    parse: Callable[[Json], Iterator[Finding]]
    #: Exit statuses of a failure of the tool itself.
    broken: Sequence[int] = (2,)


def _ruff(output: Json) -> Iterator[Finding]:
    for one in output:
        where = f"{_relative(one['filename'])}:{one['location']['row']}"
        yield Finding(where=where, rule=one["code"] or "syntax", message=one["message"])


def _bandit(output: Json) -> Iterator[Finding]:
    for error in output["errors"]:
        yield Finding(where=error["filename"], rule="not-read", message=error["reason"])
    for one in output["results"]:
        where = f"{one['filename']}:{one['line_number']}"
        yield Finding(where=where, rule=one["test_id"], message=f"{one['issue_text']} {one['more_info']}")


def _hadolint(output: Json) -> Iterator[Finding]:
    for one in output:
        yield Finding(where=f"{one['file']}:{one['line']}", rule=one["code"], message=one["message"])


def _cfn_lint(output: Json) -> Iterator[Finding]:
    for one in output:
        where = f"{_relative(one['Filename'] or 'templates')}:{one['Location']['Start']['LineNumber']}"
        path = "/".join(map(str, one["Location"]["Path"] or ()))
        yield Finding(where=where, rule=one["Rule"]["Id"], message=f"{one['Message']} ({path})")


TOOLS: Mapping[str, Tool] = {
    "ruff": Tool(
        command=("ruff", "check", "--output-format", "json", "."),
        files=("[!.]*.py", "[!.]*/**/*.py"),  # as ruff: without hidden folders
        parse=_ruff,
    ),
    "sast": Tool(
        # B104, B108, B310 and B608 are ruff's S104, S108, S310 and S608, where each exception has its reason.
        command=("bandit", "--quiet", "--recursive", "--format", "json", "--severity-level", "medium",
                 "--skip", "B104,B108,B310,B608", *SHIPPED),
        files=[f"{name}/**/*.py" for name in SHIPPED],
        parse=_bandit,
    ),
    "hadolint": Tool(
        command=("hadolint", "--format", "json", "service/Dockerfile"), files=("service/Dockerfile",), parse=_hadolint
    ),
    "cfn-lint": Tool(
        # I3510, off by default: an action on a resource of a type that it does not apply to.
        command=("cfn-lint", "--include-checks", "I3510", "--format", "json", "--", "{folder}/**/*.template.json"),
        files=("{folder}/**/*.template.json",),
        parse=_cfn_lint,
        broken=(1, 32),
    ),
}  # fmt: skip


def check(gate: str, *, folder: str = "cdk.out") -> int:
    """Run a tool in the working directory and return the exit status.

    Args:
        gate: key of `TOOLS`.
        folder: where the synthesized templates are.
    """
    tool = TOOLS[gate]
    try:
        findings = list(tool.parse(_run(gate, tool, folder)))
    except GateError as error:
        return fail(gate, error)
    files = {name for pattern in tool.files for name in _glob(pattern.format(folder=folder))}
    checked = sum("node_modules" not in Path(name).parts for name in files)
    return GateResult(gate=gate, checked=checked, unit="files", findings=findings).report()


def _run(gate: str, tool: Tool, folder: str) -> Json:
    command = [part.format(folder=folder) for part in tool.command]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise GateError(f"{command[0]} could not be started: {error}. `make setup` installs it.") from error
    if finished.returncode in tool.broken and not finished.stdout.strip():
        raise GateError(f"{gate} broke (exit status {finished.returncode}): {finished.stderr.strip()[-500:]}")
    try:
        return json.loads(finished.stdout or "[]")
    except ValueError:
        raise GateError(f"{gate} did not print JSON: {(finished.stdout + finished.stderr).strip()[-500:]}") from None


def _glob(pattern: str) -> Iterator[str]:
    """Yield the files that match a pattern, which may be absolute."""
    path = Path(pattern)
    root = Path(path.anchor)
    yield from (str(found) for found in root.glob(str(path.relative_to(root))))


def _relative(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else name


def main(arguments: Sequence[str]) -> int:
    """Run the gate named by the first argument; the second is the folder of the templates."""
    if not arguments or arguments[0] not in TOOLS:
        sys.stderr.write(f"Usage: python -m pipeline.gates.static {'|'.join(TOOLS)} [FOLDER]\n")
        return 2
    return check(arguments[0], **({"folder": arguments[1]} if arguments[1:] else {}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
