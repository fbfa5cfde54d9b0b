"""However a rehearsal ends, no process is left, and the next one works."""

import json
import signal
import socket
import subprocess

import pytest

from tests.rehearsal.conftest import Checkout, left_running

pytestmark = [pytest.mark.rehearsal, pytest.mark.takes_minutes]


def read_until(process: "subprocess.Popen[str]", *words: str) -> str:
    """Read the output until a line has all the words; return what was read."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if all(word in line for word in words):
            return read
    pytest.fail(f"the rehearsal ended before it printed {words}:\n{read}")


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(("emulator",), id="emulator start"),
        pytest.param(("cdk deploy PipelineStack",), id="cdk deploy"),
        pytest.param(("Synth",), id="build"),
        pytest.param(("Dev", "Deploy"), id="stack deployment"),
    ],
)
def test_an_interruption_leaves_nothing_running(step: tuple[str, ...], checkout: Checkout) -> None:
    process = checkout.start()
    output = read_until(process, *step)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output + rest
    assert "interrupted: stopping everything" in rest
    assert left_running(checkout.folder) == []
    assert json.loads((checkout.folder / ".run" / "rehearsal.json").read_text())["outcome"] == "interrupted"


def test_a_rejected_rehearsal_ends_what_a_killed_one_left(checkout: Checkout) -> None:
    process = checkout.start()
    read_until(process, "Smoke")
    process.kill()
    process.communicate(timeout=60)
    assert left_running(checkout.folder), "the killed rehearsal left nothing to clean up"
    process = checkout.start(APPROVE="reject")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1, output
    last = output.splitlines()[-1]
    assert "stage Prod, action ApproveProd: ApproveProd was rejected; no later action was started" in last
    assert left_running(checkout.folder) == []


def test_a_port_in_use_is_reported_before_anything_starts(checkout: Checkout) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        process = checkout.start(REHEARSE_PORT=str(port))
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"port {port} for a load balancer (REHEARSE_PORT) is in use" in output
    assert "cdk bootstrap" not in output
