"""ECR authorization tokens with the identity of their caller, as on AWS; the emulator's own are all the same."""

import base64
import importlib
import time
from collections.abc import Mapping
from typing import Any

from rehearsal.account.registry_tokens import encode_password
from rehearsal.emulator.core import ministack

_LIFETIME_SECONDS = 12 * 3600
_NAMES = {"SecretAccessKey": "aws_secret_access_key", "SessionToken": "aws_session_token"}


def identify_tokens() -> None:
    """Replace GetAuthorizationToken by one that puts the caller's credentials into the token."""
    ecr: Any = importlib.import_module("ministack.services.ecr")
    evaluator: Any = importlib.import_module("ministack.core.iam_evaluator")
    sts: Any = importlib.import_module("ministack.services.sts")

    def get_authorization_token(_request: Mapping[str, object]) -> object:
        access_key = evaluator._verified_key.get()
        session = sts._sessions.get(access_key) or {}
        keys = {_NAMES[name]: session[name] for name in _NAMES if name in session}
        password = encode_password({"aws_access_key_id": access_key, **keys})
        host = f"{ministack.account_id()}.dkr.ecr.{ministack.region()}.amazonaws.com"
        token = {
            "authorizationToken": base64.b64encode(b"AWS:" + password).decode(),
            "expiresAt": int(time.time()) + _LIFETIME_SECONDS,
            "proxyEndpoint": f"https://{host}",
        }
        return ecr.json_response({"authorizationData": [token]})

    ecr._get_authorization_token = get_authorization_token
