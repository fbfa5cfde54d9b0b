"""A worker is well while its loops get on: one that waits does, one that hangs or has died does not."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from payments import healthcheck
from payments.core import time_scale
from payments.repositories.database import EXIT_DATABASE_UNUSABLE, Database
from payments.worker import main as worker
from payments.worker.heartbeat import INTERVAL, MAX_AGE, Heartbeat, heartbeat_file
from payments.worker.loops import Loop, run_loop
from payments.worker.schedule import all_loops
from payments.worker.watchdog import Watchdog
from tests.service.api import sandbox_context

WAIT = 15.0


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Heartbeat:
    """The file of this test's worker."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return Heartbeat(heartbeat_file(os.environ))


def test_a_waiting_loop_does_not_hang(clock: Clock) -> None:
    ran, stop = threading.Event(), threading.Event()

    class Waiting(threading.Event):
        """Signals that the loop has begun to wait."""

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout == 300.0
            ran.set()
            return stop.wait(WAIT)

    watchdog = Watchdog(limit=120.0, clock=clock)
    waiting = Waiting()
    loop = Loop(name="clean_up", interval=300.0, run=lambda: False)
    thread = threading.Thread(target=run_loop, args=(loop, waiting, watchdog))
    thread.start()
    assert ran.wait(WAIT)
    clock.now += 100_000.0
    assert watchdog.hanging() == []
    waiting.set()
    stop.set()
    thread.join(WAIT)


def test_a_loop_hangs_until_its_run_returns(clock: Clock) -> None:
    watchdog = Watchdog(limit=120.0, clock=clock)
    with watchdog.running("deliver"), watchdog.running("seal"):
        clock.now += 120.0
        assert watchdog.hanging() == []
        clock.now += 0.1
        assert watchdog.hanging() == ["deliver", "seal"]
    assert watchdog.hanging() == []


def test_a_failed_run_does_not_count_as_running(clock: Clock) -> None:
    watchdog = Watchdog(limit=1.0, clock=clock)
    with pytest.raises(ZeroDivisionError), watchdog.running("deliver"):
        raise ZeroDivisionError
    clock.now += 10.0
    assert watchdog.hanging() == []


@pytest.mark.parametrize(("age", "code"), [(0.0, 0), (MAX_AGE - 1, 0), (MAX_AGE + 1, 1), (-5.0, 1)])
def test_the_health_check_of_a_worker_is_its_last_beat(heartbeat: Heartbeat, age: float, code: int) -> None:
    """A beat from the future was written before the machine started: the clock begins anew then."""
    now = heartbeat._clock()
    Heartbeat(heartbeat.file, clock=lambda: now - int(age * 1e9)).beat()
    assert healthcheck.main(["worker"]) == code


def test_adjusting_the_wall_clock_changes_nothing(heartbeat: Heartbeat) -> None:
    heartbeat.beat()
    os.utime(heartbeat.file, (0, 0))
    assert healthcheck.main(["worker"]) == 0
    heartbeat.file.write_text("1\n")
    os.utime(heartbeat.file)
    assert healthcheck.main(["worker"]) == 1


def test_a_worker_without_a_beat_is_unhealthy(heartbeat: Heartbeat) -> None:
    assert healthcheck.main(["worker"]) == 1
    heartbeat.file.write_text("no number")
    assert healthcheck.main(["worker"]) == 1


def test_a_beat_needs_no_space_on_the_file_system(heartbeat: Heartbeat) -> None:
    heartbeat.beat()
    before = heartbeat.file.stat()
    heartbeat.beat()
    after = heartbeat.file.stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)


def test_an_api_is_not_checked_by_the_heartbeat(heartbeat: Heartbeat, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat.beat()
    monkeypatch.setenv("BIND_HOST", "0.0.0.0")
    monkeypatch.setenv("PORT", "1")
    assert healthcheck.main(["api"]) == 1


@pytest.mark.parametrize("arguments", [[], ["migrate"], ["api", "worker"]])
def test_the_health_check_requires_a_process_kind(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck.main(arguments) == 2
    assert "api|worker" in capsys.readouterr().err


Run = Callable[..., int]


@pytest.fixture
def run(database: Database, journal: Database, heartbeat: Heartbeat, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the worker with the given loops, until `stop` is set or the tested condition ends it."""
    monkeypatch.setattr(worker, "_DRAIN", 0.0)
    monkeypatch.setattr(worker, "INTERVAL", 0.01)

    def runner(*loops: Loop, stop: threading.Event) -> int:
        monkeypatch.setattr(worker, "all_loops", lambda *_: list(loops))
        late = threading.Timer(WAIT, stop.set)  # a promise that is broken must fail, not hang
        late.start()
        try:
            return worker.run(sandbox_context(database, journal), stop)
        finally:
            late.cancel()

    return runner


class Beats(Heartbeat):
    """Counts beats; the worker has had time enough after so many."""

    def __init__(self, stop: threading.Event, *, enough: int) -> None:
        super().__init__(heartbeat_file(os.environ))
        self.count = 0
        self._stop, self._enough = stop, enough

    def beat(self) -> None:
        super().beat()
        self.count += 1
        if self.count == self._enough:
            self._stop.set()


def test_a_worker_beats_while_its_loops_wait(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However short the limit: it is none for waiting."""
    stop = threading.Event()
    beats = Beats(stop, enough=20)
    monkeypatch.setattr(worker, "_LONGEST_RUN", 0.1)
    monkeypatch.setattr(worker, "Heartbeat", lambda _: beats)
    assert run(Loop(name="clean_up", interval=3600.0, run=lambda: False), stop=stop) == 0
    assert beats.count == 20
    assert "loops hang" not in caplog.text


def test_a_worker_with_a_hanging_loop_stops_beating(
    run: Run, heartbeat: Heartbeat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop, released = threading.Event(), threading.Event()
    beats_by_then: list[int] = []

    def hang() -> bool:
        return released.wait(WAIT)

    class Hears(Watchdog):
        """Ends the worker some rounds after the loop hangs."""

        def hanging(self) -> list[str]:
            found = super().hanging()
            if found:
                beats_by_then.append(int(heartbeat.file.read_text()))
            if len(beats_by_then) == 10:
                stop.set()
            return found

    monkeypatch.setattr(worker, "_LONGEST_RUN", 0.0)
    monkeypatch.setattr(worker, "Watchdog", Hears)
    try:
        assert run(Loop(name="stuck", interval=0.1, run=hang), stop=stop) == 0
    finally:
        released.set()
    assert len(set(beats_by_then)) == 1, "no beat since"
    messages = [record.message for record in caplog.records if record.levelname in ("ERROR", "WARNING")]
    assert messages == ["loops hang", "loops did not finish in time"], "reported once"


@pytest.mark.parametrize("death", [SystemExit(), KeyboardInterrupt(), GeneratorExit()])
def test_a_worker_with_a_dead_loop_exits(run: Run, death: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    def die() -> bool:
        raise death

    wait = Loop(name="lives", interval=3600.0, run=lambda: False)
    assert run(Loop(name="dies", interval=1.0, run=die), wait, stop=threading.Event()) == worker._EXIT_BROKEN
    (record,) = [record for record in caplog.records if record.message.startswith("loops have ended")]
    assert record.loops == ["dies"]  # type: ignore[attr-defined]  # from `extra`


def test_a_worker_with_rejected_credentials_exits(run: Run, database: Database) -> None:
    database.credentials_rejected.set()
    try:
        wait = Loop(name="lives", interval=3600.0, run=lambda: False)
        assert run(wait, stop=threading.Event()) == EXIT_DATABASE_UNUSABLE
    finally:
        database.credentials_rejected.clear()


def test_a_worker_that_cannot_beat_does_not_start(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    assert run(stop=threading.Event()) == worker._EXIT_BROKEN
    assert "mount a writable /tmp" in caplog.text


def test_a_temporarily_failing_beat_ends_no_worker(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop = threading.Event()

    class Full(Beats):
        """The file system is full from the second beat to the fifth."""

        def beat(self) -> None:
            super().beat()
            if 2 <= self.count <= 5:
                raise OSError("No space left on device")

    beats = Full(stop, enough=8)
    monkeypatch.setattr(worker, "Heartbeat", lambda _: beats)
    assert run(stop=stop) == 0
    assert beats.count == 8
    assert caplog.text.count("heartbeat not written") == 4


def test_the_beat_of_a_former_worker_does_not_count(run: Run, heartbeat: Heartbeat) -> None:
    heartbeat.file.write_text("left behind")
    stop = threading.Event()
    stop.set()
    assert run(stop=stop) == 0
    assert "left behind" not in heartbeat.file.read_text()


@pytest.mark.parametrize("scale", [1.0, 20.0, 1000.0])
def test_intervals_and_limits_shrink_together(database: Database, journal: Database, scale: float) -> None:
    """So that a soak with a time scale shows what happens without one."""
    found = [loop.interval for loop in all_loops(sandbox_context(database, journal))]
    for seconds in (*found, worker._LONGEST_RUN, MAX_AGE, INTERVAL):
        assert time_scale.scaled(seconds, scale) == max(seconds / scale, min(seconds, 0.25))
    longest = max(found)
    assert longest > worker._LONGEST_RUN, "a loop that waits for longer than one may run is what a soak must see"
