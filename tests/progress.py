"""Outside a terminal, pytest tells its progress in lines instead of dots, which mix badly with other lines."""

import time

import pytest

#: Seconds between two lines.
_INTERVAL = 5.0


class ProgressLines:
    """A plug-in for the process that prints."""

    def __init__(self, session: pytest.Session, *, interval: float = _INTERVAL) -> None:
        self._session, self._interval = session, interval
        self._done = self._failed = 0
        self._told = time.monotonic()
        self._finished = False

    def pytest_report_teststatus(self, report: pytest.TestReport | pytest.CollectReport) -> tuple[str, str, str] | None:
        """Count as pytest does, but print neither letters nor percentages; the summary needs its words."""
        if hasattr(report, "wasxfail"):
            return None
        if report.when == "call" or report.skipped:
            return report.outcome, "", report.outcome.upper() if self._finished else ""
        return ("error", "", "ERROR" if self._finished else "") if report.failed else ("", "", "")

    def pytest_sessionfinish(self) -> None:
        """Leave the summary to pytest."""
        self._finished = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print a failure at once, and how far the tests are when it is time."""
        terminal = self._session.config.pluginmanager.get_plugin("terminalreporter")
        assert terminal is not None
        self._done += report.when == "teardown"
        if report.failed:
            self._failed += 1
            terminal.write_line(f"FAILED {report.nodeid}")
            terminal.flush()
        if time.monotonic() - self._told < self._interval:
            return
        self._told = time.monotonic()
        terminal.write_line(f"{self._done} of {self._session.testscollected} tests, {self._failed} failed")
        terminal.flush()  # Python keeps what goes to a file until there are 8 KiB of it: twenty minutes of such lines
