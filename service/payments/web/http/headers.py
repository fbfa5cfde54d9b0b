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
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["Server"] = SERVER
        return response

    app.after_request(add)
