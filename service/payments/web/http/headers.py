"""Security headers of every response (OWASP REST security cheat sheet)."""

from flask import Flask, Response

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
    """Add the headers to every response of ``app`` unless the view has set its own."""

    def add(response: Response) -> Response:
        present = {name for name, _ in response.headers}
        response.headers.extend((name, value) for name, value in all_headers if name not in present)
        return response

    all_headers = [*SECURITY_HEADERS.items(), ("Server", SERVER)]

    app.after_request(add)
