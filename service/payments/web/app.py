"""The Flask application."""

import logging
import re

import psycopg
from flask import Response, g, request
from flask_openapi3.models.info import Info

from payments.core.problems import ServiceUnavailable
from payments.core.settings import Settings
from payments.domain.api_keys import Principal, StoredKey
from payments.domain.api_versions import CURRENT_API_VERSION
from payments.domain.ids import Prefix
from payments.observability import logs, timing
from payments.repositories import api_keys
from payments.repositories.database import DatabaseUnavailable
from payments.services.context import Context
from payments.web.endpoints import api_keys as api_key_views
from payments.web.endpoints import (
    documentation,
    health,
    ledger,
    payments,
    processor_webhooks,
    three_d_secure,
    webhook_endpoints,
)
from payments.web.http import auth, headers, overload, patterns, problems, state
from payments.web.http import guards as edge
from payments.web.openapi.api import Api
from payments.web.openapi.guide import GUIDE

_log = logging.getLogger("payments.access")
_PAYMENT_ID = re.compile(patterns.identifier(Prefix.PAYMENT))
_INFO = Info(
    title="Payments",
    version=CURRENT_API_VERSION,
    description=GUIDE,
)


def create_app(context: Context, settings: Settings) -> Api:
    """The application with all its views."""
    app = Api(__name__, info=_INFO)
    app.before_request(timing.begin)
    app.before_request(logs.begin_request)
    state.register(app, context)
    problems.register(app)
    headers.register(app)
    overload.register(app, max_in_flight=settings.max_in_flight)

    def load(key_id: str) -> StoredKey | None:
        with context.database.transaction() as tx:
            return api_keys.load(tx, key_id)

    auth.register(app, auth.Authenticator(load, allow_live_keys=settings.allow_live_keys))
    app.register_api(payments.api)
    app.register_api(ledger.api)
    app.register_api(health.api)
    app.register_api(three_d_secure.api)
    _register_edge_views(app)
    edge.register(app)
    app.register_error_handler(DatabaseUnavailable, _unavailable)
    app.register_error_handler(psycopg.OperationalError, _unavailable)
    app.after_request(_log_request)
    return app


def _register_edge_views(app: Api) -> None:
    """Views of keys, webhooks and documentation."""
    for views in (api_key_views, webhook_endpoints, processor_webhooks, documentation):
        app.register_api(views.api)


def _unavailable(error: Exception) -> Response:
    _log.error("database not available", exc_info=error, extra={"request_id": problems.current_request_id()})
    return problems.problem_response(
        ServiceUnavailable("The database cannot be reached now. Try again with the same Idempotency-Key.")
    )


def _log_request(response: Response) -> Response:
    """One line a request: what was asked and answered, where its time went, and what the use case noted."""
    spent = timing.milliseconds()
    response.headers["Server-Timing"] = ", ".join(f"{name};dur={value:.1f}" for name, value in spent.items())
    principal = g.get("principal")
    _log.info(
        "request",
        extra={
            "request_id": problems.current_request_id(),
            "method": request.method,
            # The rule, not the path: what a client puts into a path may be anything.
            "route": request.url_rule.rule if request.url_rule else None,
            "status": response.status_code,
            "duration_ms": round(spent.pop("total", 0.0), 1),
            "spans_ms": {name: round(value, 1) for name, value in spent.items()},
            "merchant_id": principal.merchant_id if isinstance(principal, Principal) else None,
            "payment_id": _payment_in_path(),
            **logs.request_fields(),
        },
    )
    return response


def _payment_in_path() -> str | None:
    """The id that the path names, if it is one: before validation, a client may have put anything there."""
    named = (request.view_args or {}).get("payment_id")
    return named if isinstance(named, str) and _PAYMENT_ID.match(named) else None
