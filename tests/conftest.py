"""What holds for every test."""

import gc
import sys

import pytest
from hypothesis import Phase, settings
from slipcover import pytest_plugin as coverage  # type: ignore[import-untyped]

from tests.progress import ProgressLines
from tests.proof.profile import profile

#: Defined once for all: a fixture that a module imports becomes another one, with a database of its own.
pytest_plugins = ["tests.service.fixtures"]

# Probes stay where they are: looking for the functions that have one costs more than it does, and can hang Python 3.11,
# whose sys._current_frames is not safe among threads (https://github.com/python/cpython/issues/106883).
if coverage._slipcover_instance is not None:
    coverage._slipcover_instance.d_miss_threshold = 2**31 - 1

# How long an example takes says something about the machine, nothing about the promise. The rest stays as Hypothesis
# chooses it: random at a desk, derandomized in CI.
_CURRENT = settings.get_profile(settings.get_current_profile_name())
settings.register_profile("untimed", _CURRENT, deadline=None)
settings.load_profile("untimed")

# A quarter of the time of a collection went into looking for garbage among its modules, of which none is any.
gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Look for garbage from here on, and only among what the tests make."""
    gc.freeze()
    gc.enable()


#: Characters of a test's id, its file included: one line of a report.
_LONGEST_ID = 100
#: Characters that one parameter adds to a test's id: enough to tell cases apart, and a report stays readable.
_LONGEST_PARAMETER = 20


def pytest_make_parametrize_id(val: object) -> str | None:
    """Shorten texts in the ids of tests; pytest numbers those that become equal."""
    if not isinstance(val, str) or len(val) <= _LONGEST_PARAMETER:
        return None
    return ascii(val)[1:-1][: _LONGEST_PARAMETER - 3] + "..."


def pytest_sessionstart(session: pytest.Session) -> None:
    """Tell the progress in lines where nobody watches, in the process that prints."""
    if not hasattr(session.config, "workerinput") and not sys.stdout.isatty():
        session.config.pluginmanager.register(ProgressLines(session), "progress-lines")


def pytest_configure() -> None:
    """Choose the seed of `tests/proof` before xdist starts its workers, which inherit it."""
    profile()


def pytest_report_header() -> str:
    """Name the seed and the duration of `tests/proof`."""
    return f"proof: {profile()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name them again where an attack failed, since -q hides the header."""
    if any("tests/proof" in report.nodeid for report in terminalreporter.stats.get("failed", ())):
        terminalreporter.write_line(f"To repeat the attacks: {profile()}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Keep ids readable."""
    name = item.nodeid.partition("@")[0]  # without the group that xdist appends
    if len(name) > _LONGEST_ID:
        pytest.fail(f"{len(name)} characters: give the test a shorter name, or its parameters ids", pytrace=False)


#: Fixtures that synthesize: whatever uses one of them runs on one worker, so that each synthesis is made once.
_SYNTHESES = {"assembly", "synthesized", "whole_app", "widest", "without_subscriber"}
#: Fixtures that start servers for a module: its tests run on one worker, so that these start once.
_SERVERS = {"emulator", "stand"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Share what is costly to set up, and start what takes minutes first."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if _SYNTHESES & fixtures:
            item.add_marker(pytest.mark.xdist_group("synthesis"))
        elif _SERVERS & fixtures:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=lambda item: item.get_closest_marker("takes_minutes") is None)


# `make mutants` runs the same tests hundreds of times: the same few examples each time, and one failure is enough.
settings.register_profile(
    "mutants", deadline=None, max_examples=40, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
)
