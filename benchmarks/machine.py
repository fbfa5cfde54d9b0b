"""The machine under the bench: its cores, its Python, and who takes processor time."""

import os
import re
import sys
import sysconfig
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

_TICKS = os.sysconf("SC_CLK_TCK")
#: The share of one core above which other processes spoil a measurement.
TOLERATED = 0.10
_PROC = Path("/proc")


def processor_seconds(pid: int, *, children: bool = False) -> float:
    """Return the processor time of a process so far, in seconds; 0 when it has ended.

    Args:
        pid: The process.
        children: Whether to add its children, those that it has waited for included.
    """
    own = _times(pid, waited=children)
    if not children:
        return own
    try:
        living = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return own
    return own + sum(_times(child.pid, waited=True) for child in living)


def _times(pid: int, *, waited: bool) -> float:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    fields = text.rpartition(")")[2].split()  # the name before it may contain anything
    ticks = fields[11:15] if waited else fields[11:13]
    return sum(int(value) for value in ticks) / _TICKS


def busy_seconds() -> float:
    """Return the time that all cores of this machine have been busy, and the time that its host has withheld."""
    fields = [int(value) for value in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:]]
    idle, waiting = fields[3], fields[4]
    return (sum(fields[:8]) - idle - waiting) / _TICKS


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The processor time of the machine, and of the bench with all that it started, at one moment."""

    clock: float
    busy: float
    ours: float

    def share_of_others(self, later: "Moment") -> float:
        """Return how many cores other processes took until ``later``: 0.1 is a tenth of one core."""
        elapsed = later.clock - self.clock
        return max(0.0, (later.busy - self.busy) - (later.ours - self.ours)) / elapsed if elapsed > 0 else 0.0


def moment(roots: Iterable[int], clock: float) -> Moment:
    """Take the times of the machine and of the processes in ``roots`` with their children."""
    return Moment(
        clock=clock, busy=busy_seconds(), ours=sum(processor_seconds(pid, children=True) for pid in set(roots))
    )


def python_build() -> dict[str, str | bool]:
    """Describe the interpreter: its version, compiler and what it was optimised with."""
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    flags = f"{sysconfig.get_config_var('PY_CFLAGS') or ''} {sysconfig.get_config_var('PY_LDFLAGS') or ''}"
    return {
        "version": sys.version,
        # Options only: paths say something about one machine.
        "configure": " ".join(re.findall(r"--(?:enable|with|disable|without)-[\w-]+", arguments)),
        "profile_guided": "--enable-optimizations" in arguments or "-fprofile-use" in flags,
        "link_time_optimised": "--with-lto" in arguments or "-flto" in flags,
        "optimisation": next((flag for flag in reversed(flags.split()) if flag.startswith("-O")), "unknown"),
    }


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def busiest() -> str:
    """Name the processes outside the bench that take most, watched for a second."""
    found = []
    own = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    for process in psutil.process_iter(["name"]):
        try:
            process.cpu_percent()
        except psutil.Error:
            continue
        found.append(process)
    time.sleep(1)
    shares = []
    for process in found:
        try:
            shares.append((process.cpu_percent(), process.info["name"], process.pid))
        except psutil.Error:
            continue
    busiest = sorted((share for share in shares if share[2] not in own and share[0] > 1), reverse=True)[:3]
    return ", ".join(f"{name} {share:.0f} %" for share, name, _ in busiest) or "none of them for long"
