"""Processor time is read per process, children included where they end, and the rest of the machine's is others'."""

import os
import subprocess
import sys
import time

from benchmarks.machine import Moment, busy_seconds, moment, processor_seconds, python_build

_BURN = "import time\nwhile time.process_time() < {seconds}: pass"


def test_children_that_have_ended_still_count() -> None:
    """PostgreSQL's server processes end with their connections."""
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_BURN.format(seconds=0.5)!r}])"
    command = [sys.executable, "-c", f"{child}; print(1, flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        # Linux counts whole hundredths, of user and system time apart.
        assert processor_seconds(parent.pid, children=True) >= 0.4
        assert processor_seconds(parent.pid) < 0.4
        parent.communicate(b"\n")
    assert processor_seconds(parent.pid) == 0.0, "it has ended"


def test_the_machine_is_at_least_as_busy_as_this_process() -> None:
    before, own = busy_seconds(), time.process_time()
    while time.process_time() < own + 0.2:
        pass
    assert busy_seconds() - before >= 0.15


def test_a_stranger_is_another_and_a_child_is_not() -> None:
    with subprocess.Popen([sys.executable, "-c", _BURN.format(seconds=60)]) as child:
        mine, strange = moment([os.getpid()], time.monotonic()), moment([], time.monotonic())
        end = processor_seconds(child.pid) + 0.6
        while processor_seconds(child.pid) < end:
            time.sleep(0.02)
        later, stranger = moment([os.getpid()], time.monotonic()), moment([], time.monotonic())
        child.kill()
    assert later.ours - mine.ours >= 0.5
    difference = strange.share_of_others(stranger) - mine.share_of_others(later)
    assert difference >= 0.4 / (later.clock - mine.clock)


def test_no_time_has_no_share() -> None:
    now = Moment(clock=1.0, busy=1.0, ours=0.0)
    assert now.share_of_others(now) == 0.0


def test_the_build_of_python_is_stated() -> None:
    build = python_build()
    assert build["version"] == sys.version
    assert str(build["optimisation"]).startswith("-O")
