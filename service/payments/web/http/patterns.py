"""Regular expressions of identifiers and URLs in requests, as the OpenAPI document shows them."""

from payments.domain.ids import Prefix

#: API keys that a deployment provisions have IDs of their own format.
API_KEY_ID = r"^key_[A-Za-z0-9-]{1,64}$"
#: An https URL with a host name, in the characters of RFC 3986: it becomes part of a header and of a policy.
RETURN_URL = (
    r"^https://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
    r"(?:[/?#][A-Za-z0-9!#$%&'()*+,./:;=?@\[\]_~-]*)?$"
)


def identifier(prefix: Prefix) -> str:
    """Return the pattern of identifiers with ``prefix``."""
    return f"^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"
