"""Whether the process lives (`/healthz`) and whether it can serve (`/readyz`)."""

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from payments.core.problems import ServiceUnavailable
from payments.web.endpoints.payments import answer_json
from payments.web.http import guards as edge
from payments.web.http.state import context
from payments.web.openapi.api import responses

_HEALTH = Tag(name="Health", description="For load balancers and people on call.")


class Health(BaseModel):
    """The process is fine."""

    status: str


api = APIBlueprint("health", __name__)


@api.get("/healthz", tags=[_HEALTH], responses=responses({200: Health}, always=()))
@edge.public
def healthz() -> Response:
    """The process lives. Says nothing about the database: a failover must not end every task."""
    return answer_json({"status": "ok"})


@api.get("/readyz", tags=[_HEALTH], responses=responses({200: Health}, ServiceUnavailable, always=()))
@edge.public
def readyz() -> Response:
    """The database answers."""
    if not context().database.is_ready():
        raise ServiceUnavailable("The database does not answer. Try again in a second.")
    return answer_json({"status": "ready"})
