"""ECR's authorization tokens: who pushes is who asked for the token, not who runs `docker push`.

On AWS the token carries that identity; the emulator's own is the same for everybody.
"""

import base64
import importlib
import json
import time
from collections.abc import Mapping
from typing import Any

from rehearsal.emulator import backend

_SECONDS = 12 * 3600
_NAMES = {"SecretAccessKey": "aws_secret_access_key", "SessionToken": "aws_session_token"}


def identify_tokens() -> None:
    """Have the emulator's GetAuthorizationToken put the caller's credentials into the token."""
    ecr: Any = importlib.import_module("ministack.services.ecr")
    engine: Any = importlib.import_module("ministack.core.iam_evaluator")
    sessions: Any = importlib.import_module("ministack.services.sts")

    def get_authorization_token(_request: Mapping[str, Any]) -> Any:
        access_key = engine._verified_key.get()
        session = sessions._sessions.get(access_key) or {}
        password = base64.b64encode(
            json.dumps(
                {"aws_access_key_id": access_key} | {_NAMES[name]: session[name] for name in _NAMES if name in session}
            ).encode()
        )
        host = f"{backend.account_id()}.dkr.ecr.{backend.region()}.amazonaws.com"
        return ecr.json_response(
            {
                "authorizationData": [
                    {
                        "authorizationToken": base64.b64encode(b"AWS:" + password).decode(),
                        "expiresAt": int(time.time()) + _SECONDS,
                        "proxyEndpoint": f"https://{host}",
                    }
                ]
            }
        )

    ecr._get_authorization_token = get_authorization_token


def credentials_of(password: str) -> Mapping[str, str]:
    """Return boto3's arguments for whoever asked for a token; nothing for a password that is none of ours."""
    try:
        found = json.loads(base64.b64decode(password, validate=True))
    except ValueError:
        return {}
    return dict(found) if isinstance(found, dict) and "aws_secret_access_key" in found else {}
