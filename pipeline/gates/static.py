"""Static analysis with the tools of the trade, one report format: `python -m pipeline.gates.static ruff|sast|...`.

Each tool is asked for JSON, which is turned into findings: one look for a reader, whatever the tool.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.gates.findings import Finding, GateError, Outcome, fail

#: What is deployed or decides what is deployed. Tests and the rehearsal run on nobody's account.
SHIPPED = ("app.py", "kit", "pipeline", "stages", "service", "integ")


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A static analyser: how to ask it, over what, and how to read its answer."""

    command: Sequence[str]
    files: Sequence[str]
    """Glob patterns of what it looks at, to tell whether there was anything."""
    parse: Callable[[Any], Iterator[Finding]]
    broken: Sequence[int] = (2,)
    """Exit statuses that mean that the tool itself failed."""


def _ruff(answer: Any) -> Iterator[Finding]:
    for one in answer:
        where = f"{_relative(one['filename'])}:{one['location']['row']}"
        yield Finding(where=where, rule=one["code"] or "syntax", message=one["message"])


def _bandit(answer: Any) -> Iterator[Finding]:
    for error in answer["errors"]:
        yield Finding(where=error["filename"], rule="not-read", message=error["reason"])
    for one in answer["results"]:
        where = f"{one['filename']}:{one['line_number']}"
        yield Finding(where=where, rule=one["test_id"], message=f"{one['issue_text']} {one['more_info']}")


def _hadolint(answer: Any) -> Iterator[Finding]:
    for one in answer:
        yield Finding(where=f"{one['file']}:{one['line']}", rule=one["code"], message=one["message"])


def _cfn_lint(answer: Any) -> Iterator[Finding]:
    for one in answer:
        where = f"{_relative(one['Filename'] or 'templates')}:{one['Location']['Start']['LineNumber']}"
        path = "/".join(map(str, one["Location"]["Path"] or ()))
        yield Finding(where=where, rule=one["Rule"]["Id"], message=f"{one['Message']} ({path})")


TOOLS: Mapping[str, Tool] = {
    "ruff": Tool(
        command=("ruff", "check", "--output-format", "json", "."),
        files=("[!.]*.py", "[!.]*/**/*.py"),  # as ruff itself: not what folders with a dot hold
        parse=_ruff,
    ),
    "sast": Tool(
        # B104, B108, B310, B608 are S104, S108, S310, S608 of ruff, where each exception has its reason on its line.
        command=("bandit", "--quiet", "--recursive", "--format", "json", "--severity-level", "medium",
                 "--skip", "B104,B108,B310,B608", *SHIPPED),
        files=[f"{name}/**/*.py" for name in SHIPPED],
        parse=_bandit,
    ),
    "hadolint": Tool(
        command=("hadolint", "--format", "json", "service/Dockerfile"), files=("service/Dockerfile",), parse=_hadolint
    ),
    "cfn-lint": Tool(
        # I3510: an action on a resource of a type that it does not take, which allows nothing.
        command=("cfn-lint", "--include-checks", "I3510", "--format", "json", "--", "{folder}/**/*.template.json"),
        files=("{folder}/**/*.template.json",),
        parse=_cfn_lint,
        broken=(1, 32),
    ),
}  # fmt: skip


def check(gate: str, *, folder: str = "cdk.out") -> int:
    """Run one tool in the working directory and answer the exit status; `folder` holds the synthesized templates."""
    tool = TOOLS[gate]
    try:
        findings = list(tool.parse(_ask(gate, tool, folder)))
    except GateError as error:
        return fail(gate, error)
    files = {name for pattern in tool.files for name in _glob(pattern.format(folder=folder))}
    checked = sum("node_modules" not in Path(name).parts for name in files)
    return Outcome(gate=gate, checked=checked, unit="files", findings=findings).conclude()


def _ask(gate: str, tool: Tool, folder: str) -> Any:
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
        raise GateError(
            f"{gate} did not answer in JSON: {(finished.stdout + finished.stderr).strip()[-500:]}"
        ) from None


def _glob(pattern: str) -> Iterator[str]:
    """Files that match a pattern, which may be absolute."""
    path = Path(pattern)
    root = Path(path.anchor)
    yield from (str(found) for found in root.glob(str(path.relative_to(root))))


def _relative(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else name


def main(arguments: Sequence[str]) -> int:
    """Run the gate that the first argument names; the second is the folder of the templates."""
    if not arguments or arguments[0] not in TOOLS:
        sys.stderr.write(f"Usage: python -m pipeline.gates.static {'|'.join(TOOLS)} [FOLDER]\n")
        return 2
    return check(arguments[0], **({"folder": arguments[1]} if arguments[1:] else {}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
