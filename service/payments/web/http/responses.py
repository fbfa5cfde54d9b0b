"""JSON responses of endpoints."""

from collections.abc import Mapping
from http import HTTPStatus

from flask import Response

from payments.services.idempotency import ApiResponse
from payments.services.presentation import dumps
from payments.web.http.problems import MEDIA_TYPE


def json_response(value: Mapping[str, object]) -> Response:
    """Return ``value`` with status 200."""
    return Response(dumps(dict(value)), content_type="application/json")


def idempotent_response(response: ApiResponse) -> Response:
    """Return ``response`` byte for byte as it was stored under its Idempotency-Key."""
    is_problem = response.status == HTTPStatus.PAYMENT_REQUIRED
    result = Response(
        response.body, status=response.status, content_type=MEDIA_TYPE if is_problem else "application/json"
    )
    if response.replayed:
        result.headers["Idempotency-Replayed"] = "true"
    return result
