"""An account whose roles are deleted after each test."""

from collections.abc import Iterator

import pytest

from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.roles import Account


@pytest.fixture
def account(emulator: EmulatorProcess) -> Iterator[Account]:
    account = Account(port=emulator.port)
    yield account
    iam = account.session.client("iam")
    for name in account.roles:
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=policy)
        iam.delete_role(RoleName=name)
