"""One emulator for the tests of a module that do not need one of their own."""

from collections.abc import Iterator

import pytest

from rehearsal.emulator.process import EmulatorProcess


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(data=tmp_path_factory.mktemp("emulator")) as process:
        yield process
