"""ECR authorization tokens, whose password holds the credentials of whoever asked for the token."""

import base64
import json
from collections.abc import Mapping


def encode_password(credentials: Mapping[str, str]) -> bytes:
    """Return the password of a token for these credentials (arguments of a boto3 session)."""
    return base64.b64encode(json.dumps(credentials).encode())


def decode_password(password: str) -> Mapping[str, str]:
    """Return the credentials in a password; nothing for a password of another registry."""
    try:
        credentials = json.loads(base64.b64decode(password, validate=True))
    except ValueError:
        return {}
    return dict(credentials) if isinstance(credentials, dict) and "aws_secret_access_key" in credentials else {}
