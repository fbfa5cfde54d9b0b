"""One emulator for the tests of a module that do not need one of their own."""

from collections.abc import Iterator

import pytest

from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.roles import Account


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(data=tmp_path_factory.mktemp("emulator")) as process:
        yield process


@pytest.fixture
def account(emulator: EmulatorProcess) -> Iterator[Account]:
    made = Account(port=emulator.port)
    yield made
    iam = made.session.client("iam")
    for name in made.made:
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=policy)
        iam.delete_role(RoleName=name)
