"""docs/api.md as its readers follow it: terminals, files, and what they are shown."""

import os
import re
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "api.md"
#: Without set-up, which tests must not do; otherwise the targets as they are.
_PRELUDE = 'make() { command make --no-print-directory --old-file=setup "$@"; }\n'
_FENCE = re.compile(r"^```(\w+)(?: ([\w.]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of code: its language, what follows that after a space, and its text."""

    language: str
    name: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(language=found[1], name=found[2] or "", text=found[3]) for found in _FENCE.finditer(text)]


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the rows below ``heading``, the cells of a table's first line."""
    lines = text[text.index(f"| {heading} |\n") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def is_shown(shown: str, real: str) -> bool:
    """Whether output begins with what is shown, in which ``...`` stands for anything, white space apart."""
    pattern = ".*?".join(re.escape(re.sub(r"\s", "", part)) for part in shown.split("..."))
    return re.match(pattern, re.sub(r"\s", "", real), re.DOTALL) is not None


def checkout(folder: Path) -> Path:
    """A checkout with a `.run` of its own, as a fresh clone after `make setup`."""
    for file in PROJECT.iterdir():
        if file.name not in {".run", ".git"}:
            (folder / file.name).symlink_to(file)
    return folder


class Background:
    """A terminal in which a command runs until it is stopped."""

    def __init__(self, command: str, folder: Path, name: str, environment: Mapping[str, str]) -> None:
        self.log = folder / f"{name}.log"
        with self.log.open("w") as output:
            # Where tests run in the background of a script, SIGINT is ignored, and so it would be here.
            self.process = subprocess.Popen(
                ["env", "--default-signal=INT", "bash", "-c", _PRELUDE + command],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        return self.log.read_text()

    def press_ctrl_c(self) -> None:
        """Interrupt all that runs in the terminal, and wait for its end."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


class Shell:
    """A terminal in which one command is entered after the other."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            ["bash", "-o", "pipefail"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.enter(_PRELUDE)

    def enter(self, commands: str) -> str:
        """Return what ``commands`` say, all of which must succeed."""
        end = uuid.uuid4().hex
        file = self._folder / "entered"
        file.write_text(commands)
        assert self._process.stdin is not None
        self._process.stdin.write(f"set -e; source {file} </dev/null; set +e; echo; echo {end}\n")
        self._process.stdin.flush()
        said = "".join(self._lines(end))
        assert self._process.poll() is None, f"{commands}\nfailed: {said}"
        return said

    def close(self) -> None:
        self._process.communicate()

    def _lines(self, end: str) -> Iterator[str]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == end:
                return
            yield line
        self._process.wait()
