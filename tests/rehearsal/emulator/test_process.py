"""The emulator listens on loopback only, is independent of the user's configuration, and ends with its parent."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from rehearsal.account import sessions
from rehearsal.emulator.process import EmulatorError, EmulatorProcess

pytestmark = pytest.mark.rehearsal


def test_it_listens_on_loopback_only(emulator: EmulatorProcess) -> None:
    identity = sessions.open_session(emulator.port).client("sts").get_caller_identity()

    assert identity["Account"] == sessions.ACCOUNT_ID
    assert emulator.pid is not None
    sockets = psutil.Process(emulator.pid).net_connections()
    listening = [(s.laddr.ip, s.laddr.port) for s in sockets if s.status == psutil.CONN_LISTEN]
    assert listening == [("127.0.0.1", emulator.port)]
    assert not [s for s in sockets if s.type == socket.SOCK_DGRAM]


def test_sessions_ignore_the_profile_of_the_user(emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    assert sessions.open_session(emulator.port).client("sts").get_caller_identity()["Account"] == sessions.ACCOUNT_ID


def test_a_subprocess_uses_the_emulator_and_its_own_home(tmp_path: Path) -> None:
    base = {"PATH": "/bin", "HOME": "/home/me", "AWS_PROFILE": "mine", "AWS_SESSION_TOKEN": "t", "CDK_OUTDIR": "x"}

    environment = sessions.subprocess_environment(4566, home=tmp_path / "home", base=base)

    assert environment["PATH"] == "/bin"
    assert environment["HOME"] == environment["CDK_HOME"] == str(tmp_path / "home")
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "CDK_OUTDIR"} & environment.keys()


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(EmulatorError, match=rf"127\.0\.0\.1:{port}: Address already in use"):
            EmulatorProcess(data=tmp_path, port=port).start()


def test_an_exit_is_reported_with_the_end_of_the_log(tmp_path: Path) -> None:
    with EmulatorProcess(data=tmp_path) as emulator:
        assert emulator.pid is not None
        os.kill(emulator.pid, signal.SIGKILL)
        os.waitid(os.P_PID, emulator.pid, os.WEXITED | os.WNOWAIT)  # leaves the status to the emulator's check

        with pytest.raises(EmulatorError) as info:
            emulator.check()

    message = str(info.value)
    assert message.startswith(f"The emulator exited with status -9.\nEnd of {tmp_path / 'emulator.log'}:\n")
    assert "Ready" in message


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
                import pathlib, signal
                from rehearsal.emulator.process import EmulatorProcess
                EmulatorProcess(data=pathlib.Path({str(tmp_path)!r})).start()
                print("started", flush=True)
                signal.pause()
            """),
        ],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"started\n"
    emulator = psutil.Process(json.loads((tmp_path / "ready.json").read_text())["pid"])

    parent.kill()
    parent.communicate()

    emulator.wait(60)
