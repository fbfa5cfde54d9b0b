"""Whoever asks for a registry token is who pushes with it."""

import base64

import pytest

from rehearsal.account import sessions
from rehearsal.emulator.core.registry_tokens import credentials_of
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.roles import Account, statement

pytestmark = pytest.mark.rehearsal


def test_a_token_is_its_callers(account: Account, emulator: EmulatorProcess) -> None:
    pusher = account.act_as(account.role("pusher", statement("ecr:GetAuthorizationToken")))
    token = pusher.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    assert user == "AWS"
    found = credentials_of(password)
    acting = sessions.open_session(
        emulator.port,
        credentials=sessions.Credentials(
            access_key_id=found["aws_access_key_id"],
            secret_access_key=found["aws_secret_access_key"],
            session_token=found["aws_session_token"],
        ),
    )
    assert acting.client("sts").get_caller_identity()["Arn"].endswith(":assumed-role/pusher/test")


def test_a_password_of_another_registry_is_nobodys() -> None:
    assert credentials_of("hunter2") == {}
    assert credentials_of(base64.b64encode(b'["AWS"]').decode()) == {}
