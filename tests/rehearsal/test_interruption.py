"""However a rehearsal ends, it leaves no process, and the next one works."""

import json
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.rehearsal.conftest import Checkout

pytestmark = [pytest.mark.rehearsal, pytest.mark.takes_minutes]


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """Read the output until a line has `text`; what was read."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if text in line:
            return read
    pytest.fail(f"the rehearsal ended before it said {text!r}:\n{read}")


def left_running(folder: Path) -> list[str]:
    """Processes that work in, or were started with paths of, the checkout."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [process.cwd(), *process.cmdline()]
        except psutil.Error:
            continue
        if any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("emulator", id="while the emulator starts"),
        pytest.param("cdk deploy PipelineStack", id="while PipelineStack is deployed"),
        pytest.param("Synth", id="while a build runs"),
        pytest.param("Deploy", id="while a stack is deployed"),
    ],
)
def test_an_interrupted_rehearsal_leaves_nothing_running(moment: str, checkout: Checkout) -> None:
    process = checkout.start()
    output = read_until(process, moment)
    while "Deploy" in moment and "Dev" not in output.splitlines()[-1]:
        output += read_until(process, moment)
        if moment != "Deploy":
            break
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output + rest
    assert "interrupted: stopping everything that was started" in rest
    assert left_running(checkout.folder) == []
    assert json.loads((checkout.folder / ".run" / "rehearsal.json").read_text())["outcome"] == "interrupted"


def test_after_a_killed_rehearsal_the_next_one_cleans_up_and_works(checkout: Checkout) -> None:
    process = checkout.start()
    read_until(process, "Smoke")
    process.kill()
    process.communicate(timeout=60)
    assert left_running(checkout.folder), "nothing was left: the test does not test anything"
    process = checkout.start()
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "everything was destroyed, nothing is left" in output
    assert left_running(checkout.folder) == []


def test_a_port_in_use_is_named_at_once(checkout: Checkout) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = checkout.start(REHEARSE_PORT=str(port))
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"port {port} of this machine is in use; choose others with REHEARSE_PORT" in output
    assert "cdk bootstrap" not in output


def test_rejecting_beforehand_ends_with_a_failure_that_says_so(checkout: Checkout) -> None:
    process = checkout.start(APPROVE="reject")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1, output
    last = output.splitlines()[-1]
    assert "stage Prod, action ApproveProd: ApproveProd was rejected; nothing behind it was touched" in last
    assert left_running(checkout.folder) == []
