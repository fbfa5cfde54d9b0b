"""Security headers of every response (OWASP REST security cheat sheet)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: An API has nothing to load; /docs relaxes this for its own style sheet only.
CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
SECURITY_HEADERS = {
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Responses contain payments, which no cache on the way to the merchant may keep.
    "Cache-Control": "no-store",
}
#: The value of the Server header: a name without a version.
SERVER = "payments"


def register(app: Flask) -> None:
    """Add the headers to every response of ``app`` unless the view has set its own.

    Below Flask, where headers are a plain list: each that Flask knows of is checked, copied and encoded again.
    """
    answer = app.wsgi_app

    def answer_with_headers(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        # Any: start_response's optional exc_info has a type that only its own stub can spell.
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            present = {name for name, _ in headers}
            added = [header for header in all_headers if header[0] not in present]
            return start_response(status, headers + added, *exc_info)

        return answer(environ, start)

    all_headers = [*SECURITY_HEADERS.items(), ("Server", SERVER)]

    app.wsgi_app = answer_with_headers  # type: ignore[method-assign]  # Flask's own way to wrap an application
