"""The Flask application."""

import logging
import re

import psycopg
from flask import Response, g, request
from flask_openapi3.models.info import Info
from flask_openapi3.models.license import License

from payments.core.problems import OutcomeUnknown, ServiceUnavailable
from payments.core.settings import Settings
from payments.domain.api_keys import Principal, StoredKey
from payments.domain.api_versions import CURRENT_API_VERSION
from payments.domain.ids import Prefix
from payments.observability import logs, timing
from payments.repositories import api_keys as api_key_repository
from payments.repositories.connection import begin_request, may_have_committed
from payments.repositories.database import DatabaseUnavailable
from payments.services.context import Context
from payments.web.endpoints import (
    api_keys,
    documentation,
    events,
    health,
    ledger,
    payments,
    processor_webhooks,
    refunds,
    three_d_secure,
    webhook_endpoints,
)
from payments.web.http import auth, context, guards, headers, overload, patterns, problems
from payments.web.openapi.api import Api
from payments.web.openapi.guide import guide

_log = logging.getLogger("payments.access")
_PAYMENT_ID = re.compile(patterns.identifier(Prefix.PAYMENT))
#: In the order of the reference.
_ENDPOINTS = (
    payments,
    refunds,
    events,
    ledger,
    webhook_endpoints,
    api_keys,
    three_d_secure,
    processor_webhooks,
    health,
    documentation,
)


def create_app(service: Context, settings: Settings) -> Api:
    """Create the application with all its endpoints."""
    routed = dict.fromkeys(service.routes.values())
    payment_methods = [service.processors[name].payment_method_pattern for name in routed]
    info = Info(
        title="Payments",
        version=CURRENT_API_VERSION,
        description=guide(settings.public_base_url),
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
    )
    app = Api(__name__, info=info, payment_methods=payment_methods, public_base_url=settings.public_base_url)
    app.before_request(timing.begin)
    app.before_request(logs.begin_request)
    app.before_request(begin_request)
    context.register(app, service)
    problems.register(app)
    headers.register(app)
    overload.register(app, max_in_flight=settings.max_in_flight, liveness=health.LIVENESS, readiness=health.READINESS)

    def load(key_id: str) -> StoredKey | None:
        with service.database.transaction() as tx:
            return api_key_repository.load(tx, key_id)

    auth.register(app, auth.Authenticator(load, allow_live_keys=settings.allow_live_keys))
    for module in _ENDPOINTS:
        app.register_api(module.api)
    guards.register(app)
    app.register_error_handler(DatabaseUnavailable, _unavailable)
    app.register_error_handler(psycopg.OperationalError, _unavailable)
    app.after_request(_log_request)
    return app


def _unavailable(error: Exception) -> Response:
    """Say "nothing was started" only if no COMMIT was sent: one without an answer may have been carried out."""
    _log.error("database not available", exc_info=error, extra={"request_id": problems.current_request_id()})
    if may_have_committed():
        return problems.problem_response(
            OutcomeUnknown(
                "The database did not confirm the request, which may have been carried out. Send the same request "
                "again, with the same Idempotency-Key; never with another one."
            )
        )
    return problems.problem_response(
        ServiceUnavailable("The database is currently unavailable. Retry with the same Idempotency-Key.")
    )


def _log_request(response: Response) -> Response:
    """Log one line per request: request and response, where the time went, and the fields that use cases added."""
    spent = timing.milliseconds()
    response.headers["Server-Timing"] = ", ".join(f"{name};dur={value:.1f}" for name, value in spent.items())
    caller = g.get("principal")
    principal = caller if isinstance(caller, Principal) else None
    _log.info(
        "request",
        extra={
            "request_id": problems.current_request_id(),
            "method": request.method,
            # The rule instead of the path, into which a client may have put anything.
            "route": request.url_rule.rule if request.url_rule else None,
            "status": response.status_code,
            "duration_ms": round(spent.pop("total", 0.0), 1),
            "spans_ms": {name: round(value, 1) for name, value in spent.items()},
            "merchant_id": principal.merchant_id if principal else None,
            # Never the key: this is what its owner sees in the list of keys.
            "api_key_id": principal.key_id if principal else None,
            "payment_id": _payment_in_path(),
            **logs.request_fields(),
        },
    )
    return response


def _payment_in_path() -> str | None:
    """Return the payment ID in the path if it is well-formed: before validation, it may be anything."""
    value = (request.view_args or {}).get("payment_id")
    return value if isinstance(value, str) and _PAYMENT_ID.match(value) else None
