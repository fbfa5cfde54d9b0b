"""What identifiers and addresses look like in requests, as regular expressions that the OpenAPI document shows."""

from payments.domain.ids import Prefix

#: API keys that a deployment brings with it have ids of their own making.
API_KEY_ID = r"^key_[A-Za-z0-9-]{1,64}$"
#: An https URL with a host name, in the characters of RFC 3986: it ends in a header and in a Content-Security-Policy.
RETURN_URL = (
    r"^https://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
    r"(?:[/?#][A-Za-z0-9!#$%&'()*+,./:;=?@\[\]_~-]*)?$"
)


def identifier(prefix: Prefix) -> str:
    """An identifier of this kind."""
    return f"^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"
