"""`make rehearse-remote`: a local git remote, whose pushes are rehearsed.

Executions are QUEUED as in the pipeline: a push during a run waits for its end. Approvals are requested in the terminal
of `make rehearse-remote`. Ctrl-C stops everything.
"""

import io
import json
import shlex
import socket
import socketserver
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console

from rehearsal.cli.display import PlainDisplay
from rehearsal.cli.session import Session, run_session
from rehearsal.codepipeline.execution import StageFailedError
from rehearsal.codepipeline.run_context import CancelledError
from rehearsal.codepipeline.source import Commit, RevisionError
from rehearsal.runner.emulated_account import SetupError
from rehearsal.runner.rehearsal import Rehearsal


@dataclass(kw_only=True)
class Remote:
    """The bare repository, and the queue of its pipeline runs."""

    rehearsal: Rehearsal
    branch: str = "main"
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def repository(self) -> Path:
        """The path of the repository."""
        return self.rehearsal.account.workspace.run / "rehearsal.git"

    @property
    def socket(self) -> Path:
        """The socket on which the hook requests a run."""
        return self.rehearsal.account.workspace.rehearsal / "push.sock"

    def create(self) -> None:
        """Create the repository with its hook; an existing one keeps its history."""
        command = ["git", "init", "--quiet", "--bare", f"--initial-branch={self.branch}", str(self.repository)]
        subprocess.run(command, check=True)
        hook = self.repository / "hooks" / "post-receive"
        project = Path(__file__).parents[2]
        hook.write_text(
            f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(project))} "
            f"exec {shlex.quote(sys.executable)} -m rehearsal.cli.push_hook {shlex.quote(str(self.socket))}\n",
            encoding="utf-8",
        )
        hook.chmod(0o755)

    def run(self, commit_id: str, branch: str, output: TextIO) -> None:
        """Run the pipeline for a pushed commit, after earlier ones; the last line of the output is the result."""
        console = Console(file=output, no_color=True, width=200)
        timeline = self.rehearsal.timeline
        if branch != self.branch:
            console.print(f"Failed: the pipeline runs for branch {self.branch}, not for {branch}")
            return
        if not self._turn.acquire(blocking=False):
            console.print("queued: another execution is in progress")
            self._turn.acquire()
        display = PlainDisplay(timeline, console)
        try:
            self.rehearsal.run(Commit.resolve(self.repository, commit_id))
        except (StageFailedError, SetupError) as error:
            display.fail("The pipeline failed", str(error), error.log)
            console.print("Failed", markup=False)
        except (RevisionError, CancelledError) as error:
            console.print(f"Failed: {error}", markup=False)
        else:
            for stack in self.rehearsal.account.served_stacks():
                console.print(f"serving {stack.url}", markup=False)
            console.print(f"Succeeded {commit_id[:12]}", markup=False)
        finally:
            display.close()
            self._turn.release()


class _Handler(socketserver.StreamRequestHandler):
    """One push: responds to the hook with the output of the run."""

    server: "_Server"

    def handle(self) -> None:
        """Run the pipeline, also when the hook goes away."""
        request = json.loads(self.rfile.readline())
        output = _SocketOutput(self.connection)
        self.server.remote.run(request["commit"], request["branch"], output)


class _Server(socketserver.ThreadingUnixStreamServer):
    """Listens on the socket of the hook."""

    daemon_threads = True

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        super().__init__(str(remote.socket), _Handler)


class _SocketOutput(io.StringIO):
    """Writes to a connection; output after its end is dropped."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection: socket.socket | None = connection

    def write(self, text: str) -> int:
        """Send text."""
        if self._connection:
            try:
                self._connection.sendall(text.encode())
            except OSError:
                self._connection = None
        return len(text)


def main() -> int:
    """Deploy the pipeline stack, then run the pipeline for every push until Ctrl-C; return the exit status."""
    return run_session(PlainDisplay, _serve)


def _serve(session: Session) -> int:
    remote, display = Remote(rehearsal=session.rehearsal), session.display
    try:
        session.run_in_background(lambda: session.rehearsal.prepare(session.deployed))
        remote.create()
        with _Server(remote) as server:
            display.say("ready. Add the remote once, then push as often as you like; Ctrl-C stops everything:")
            display.say(f"  git remote add rehearsal {remote.repository}")
            display.say(f"  git push rehearsal {remote.branch}")
            threading.Thread(target=server.serve_forever, name="pushes", daemon=True).start()
            while True:
                session.approver.ask_next(display)
    except SetupError as error:
        display.fail("The rehearsal failed", str(error), error.log)
        return 1
    except KeyboardInterrupt:
        display.say("stopping everything")
    finally:
        session.rehearsal.account.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
