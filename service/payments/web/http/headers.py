"""Security headers of every answer (OWASP REST security cheat sheet)."""

from flask import Flask, Response

#: An API has nothing to load; /docs relaxes this for its own style sheet only.
CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
#: Set where a view has not set its own.
DEFAULTS = {
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Answers hold payments: no cache between here and the merchant keeps them.
    "Cache-Control": "no-store",
}
#: Says who answers, not which version of what.
SERVER = "payments"


def register(app: Flask) -> None:
    """Add the headers to every answer of ``app``; a view that set one itself keeps it."""

    def add(response: Response) -> Response:
        for name, value in DEFAULTS.items():
            response.headers.setdefault(name, value)
        response.headers["Server"] = SERVER
        return response

    app.after_request(add)
