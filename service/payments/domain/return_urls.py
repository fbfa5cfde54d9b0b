"""The page to which a customer's browser returns after 3-D Secure."""

from urllib.parse import unquote_plus

#: The query parameter that names the payment.
PARAMETER = "payment_id"


def with_payment_id(url: str, payment_id: str) -> str:
    """Return ``url`` with the payment's ID in its query, where a parameter of that name is replaced.

    Everything else stays as it was written: order, encoding, and the fragment behind the query. Empty parameters go.
    """
    address, hash_sign, fragment = url.partition("#")
    page, _, query = address.partition("?")
    kept = [part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) != PARAMETER]
    return f"{page}?{'&'.join([*kept, f'{PARAMETER}={payment_id}'])}{hash_sign}{fragment}"
