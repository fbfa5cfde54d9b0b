"""Regular expressions of what requests contain: validated, and shown in the OpenAPI document, from one source.

They are in the common subset of Python, Rust (pydantic) and ECMA-262 (JSON Schema).
"""

from payments.delivery import addresses
from payments.domain.ids import Prefix

#: Text that PostgreSQL can store.
TEXT = r"^[^\x00]*$"
#: API keys that a deployment provisions have IDs of their own format.
API_KEY_ID = r"^key_[A-Za-z0-9-]{1,64}$"
#: An https URL with a host name, in the characters of RFC 3986: it becomes part of a header and of a policy.
RETURN_URL = (
    r"^https://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
    rf"(?:[/?#][#{addresses.URL_CHARACTERS}]*)?$"
)
#: At most 255 characters, bare or as a string of RFC 8941 (``"..."``). A bare key has no comma, quote or space: servers
#: join repeated headers with a comma, and two keys must never be read as one.
IDEMPOTENCY_KEY = (
    r"^(?:[\x21\x23-\x2b\x2d-\x7e]{1,255}"
    r'|"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255}")$'
)


def identifier(prefix: Prefix) -> str:
    """Return the pattern of identifiers with ``prefix``."""
    return f"^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"
