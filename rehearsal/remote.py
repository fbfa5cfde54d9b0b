"""`make rehearse-remote`: a local git remote; whatever is pushed to it goes through the pipeline.

Executions are QUEUED as in the real pipeline: a push during a run waits its turn. The approval is asked in
the terminal of `make rehearse-remote`. Ctrl-C stops everything.
"""

import io
import json
import os
import shlex
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console

from rehearsal.account import Account, SetupError
from rehearsal.codepipeline.actions import CancelledError
from rehearsal.codepipeline.execution import StageFailedError
from rehearsal.codepipeline.source import Commit, RevisionError
from rehearsal.compute.engine import find_engine
from rehearsal.compute.errors import EngineError
from rehearsal.console import PlainDisplay
from rehearsal.foreground import MainThreadApprover, run_in_background
from rehearsal.options import OptionError, Options, is_interactive
from rehearsal.ports import PortInUseError, Ports
from rehearsal.rehearse import Rehearsal
from rehearsal.timeline import Timeline
from rehearsal.workspace import BusyError, Workspace


@dataclass(kw_only=True)
class Remote:
    """The bare repository that is pushed to, and the queue of its pipeline runs."""

    rehearsal: Rehearsal
    branch: str = "main"
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def repository(self) -> Path:
        """Where to push."""
        return self.rehearsal.account.workspace.run / "rehearsal.git"

    @property
    def socket(self) -> Path:
        """Where the hook asks for a run."""
        return self.rehearsal.account.workspace.rehearsal / "push.sock"

    def create(self) -> None:
        """Make the repository with its hook; one that is there already keeps its history."""
        command = ["git", "init", "--quiet", "--bare", f"--initial-branch={self.branch}", str(self.repository)]
        subprocess.run(command, check=True)
        hook = self.repository / "hooks" / "post-receive"
        project = Path(__file__).parents[1]
        hook.write_text(
            f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(project))} "
            f"exec {shlex.quote(sys.executable)} -m rehearsal.push_hook {shlex.quote(str(self.socket))}\n",
            encoding="utf-8",
        )
        hook.chmod(0o755)

    def run(self, commit_id: str, branch: str, output: TextIO) -> None:
        """Run the pipeline on a pushed commit when its turn comes; the last line written says how it ended."""
        console = Console(file=output, no_color=True, width=200)
        timeline = self.rehearsal.timeline
        if branch != self.branch:
            console.print(f"Failed: the pipeline follows branch {self.branch}, not {branch}; nothing was started")
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
            for outputs in self.rehearsal.account.endpoints().values():
                console.print(f"serving {outputs['ApiUrl']}", markup=False)
            console.print(f"Succeeded {commit_id[:12]}", markup=False)
        finally:
            display.close()
            self._turn.release()


class _Handler(socketserver.StreamRequestHandler):
    """One push: the hook's request, answered with the lines of the run."""

    server: "_Server"

    def handle(self) -> None:
        """Run the pipeline; a pusher who goes away does not stop it."""
        request = json.loads(self.rfile.readline())
        output = _Forgiving(self.connection)
        self.server.remote.run(request["commit"], request["branch"], output)


class _Server(socketserver.ThreadingUnixStreamServer):
    """Listens on the socket that the hook knows."""

    daemon_threads = True

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        super().__init__(str(remote.socket), _Handler)


class _Forgiving(io.StringIO):
    """Writes to a connection until it is closed, then to nowhere."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection: socket.socket | None = connection

    def write(self, text: str) -> int:
        """Send the text."""
        if self._connection:
            try:
                self._connection.sendall(text.encode())
            except OSError:
                self._connection = None
        return len(text)


def main() -> int:
    """Open the account, deploy HEAD's PipelineStack, then run the pipeline for every push until Ctrl-C."""
    console = Console()
    try:
        options = Options.read(os.environ, interactive=is_interactive())
        workspace = Workspace(checkout=Path.cwd())
        deployed = Commit.resolve(workspace.checkout, options.deployed)
        with workspace.lock():
            workspace.empty()
            ports = Ports(options.port)
            ports.check()
            for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs are made to ignore the first
                signal.signal(number, signal.default_int_handler)
            return _listen(workspace, options, ports, deployed, console)
    except (OptionError, RevisionError, BusyError, PortInUseError, EngineError) as error:
        console.print(f"rehearsal: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2


def _listen(workspace: Workspace, options: Options, ports: Ports, deployed: Commit, console: Console) -> int:
    timeline = Timeline(workspace.timeline)
    approver = MainThreadApprover(decision=options.decision)
    display = PlainDisplay(timeline, console)
    account = Account(workspace=workspace, ports=ports, engine=find_engine(os.environ), say=display.say)
    remote = Remote(rehearsal=Rehearsal(account=account, timeline=timeline, approver=approver))
    try:
        run_in_background(lambda: remote.rehearsal.prepare(deployed), approver, display, account.cancelled)
        remote.create()
        with _Server(remote) as server:
            display.say("ready. Add the remote once, then push as often as you like; Ctrl-C ends it:")
            display.say(f"  git remote add rehearsal {remote.repository}")
            display.say(f"  git push rehearsal {remote.branch}")
            threading.Thread(target=server.serve_forever, name="pushes", daemon=True).start()
            while True:
                approver.answer_next(display)
    except SetupError as error:
        display.fail("The rehearsal failed", str(error), error.log)
        return 1
    except KeyboardInterrupt:
        display.say("stopping everything that was started")
    finally:
        account.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
