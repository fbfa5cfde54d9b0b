"""Health endpoints: whether the process is alive (`/healthz`) and whether it can serve (`/readyz`)."""

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from payments.core.problems import (
    CardNumberRefused,
    InternalError,
    MalformedRequest,
    ServiceUnavailable,
    TooManyRequests,
)
from payments.web.http.context import context
from payments.web.http.guards import public
from payments.web.http.responses import json_response
from payments.web.openapi.responses import responses

#: Health checks are never turned away.
_ERRORS = (MalformedRequest, CardNumberRefused, InternalError)
_TAG = Tag(name="Health", description="For load balancers and people on call.")


class Health(BaseModel):
    """The process is healthy."""

    status: str = Field(examples=["ok"])


api = APIBlueprint("health", __name__, abp_tags=[_TAG])
#: Flask's names of the endpoints.
LIVENESS, READINESS = "health.healthz", "health.readyz"


@api.get("/healthz", responses=responses({200: Health}, always=_ERRORS))
@public
def healthz() -> Response:
    """Check that the process is alive. Ignores the database, whose failover must not end every task."""
    return json_response({"status": "ok"})


@api.get("/readyz", responses=responses({200: Health}, ServiceUnavailable, TooManyRequests, always=_ERRORS))
@public
def readyz() -> Response:
    """Check that the database is reachable."""
    if not context().database.is_ready():
        raise ServiceUnavailable("The database is not reachable. Retry in a second.")
    return json_response({"status": "ready"})
