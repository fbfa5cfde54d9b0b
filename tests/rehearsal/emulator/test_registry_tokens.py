"""A registry token carries the credentials of its caller."""

import base64

import pytest

from rehearsal.account import sessions
from rehearsal.account.registry_tokens import decode_password
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.roles import Account, statement

pytestmark = pytest.mark.rehearsal


def test_a_token_has_the_identity_of_its_caller(account: Account, emulator: EmulatorProcess) -> None:
    pusher = account.session_of(account.create_role("pusher", statement("ecr:GetAuthorizationToken")))
    token = pusher.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    assert user == "AWS"
    credentials = decode_password(password)
    session = sessions.open_session(
        emulator.port,
        credentials=sessions.Credentials(
            access_key_id=credentials["aws_access_key_id"],
            secret_access_key=credentials["aws_secret_access_key"],
            session_token=credentials["aws_session_token"],
        ),
    )
    assert session.client("sts").get_caller_identity()["Arn"].endswith(":assumed-role/pusher/test")


def test_other_passwords_have_no_credentials() -> None:
    assert decode_password("hunter2") == {}
    assert decode_password(base64.b64encode(b'["AWS"]').decode()) == {}
