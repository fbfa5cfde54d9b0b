"""The endpoint that processors send their webhooks to."""

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from payments.core.problems import ContentTooLarge, NotFound, OutcomeUnknown, SignatureInvalid
from payments.processors.inbound import InvalidSignature, SendsWebhooks
from payments.services import inbox
from payments.web.http import strict_json
from payments.web.http.context import context
from payments.web.http.guards import public
from payments.web.http.models import Parameters
from payments.web.http.responses import json_response
from payments.web.openapi.responses import PUBLIC, responses

_TAG = Tag(name="Processors", description="For processors, not for merchants.")


class ProcessorPath(Parameters):
    """Identifies a processor."""

    name: str = Field(pattern="^[a-z]{1,32}$", description="The processor.", json_schema_extra={"example": "stripe"})


class Received(BaseModel):
    """The webhook is stored."""

    received: bool = Field(examples=[True])


api = APIBlueprint("processor_webhooks", __name__, url_prefix="/v1", abp_tags=[_TAG])


@api.post(
    "/processors/<name>/webhooks",
    responses=responses(
        {200: Received},
        SignatureInvalid,
        NotFound,
        ContentTooLarge,
        OutcomeUnknown,
        always=PUBLIC,
    ),
)
@public
def receive_processor_webhook(path: ProcessorPath) -> Response:
    """Receive a processor's signed webhook.

    It is stored before the response, once however often it is sent. Then the object that it names is retrieved from
    the processor: neither the order nor the content of webhooks is trusted.
    """
    processor: object = context().processors.get(path.name)
    if not isinstance(processor, SendsWebhooks):
        raise NotFound("No such processor that sends webhooks.")
    body = strict_json.read_body(request)  # raw, since the signature covers these exact bytes
    try:
        event = processor.read_webhook(body, dict(request.headers))
    except InvalidSignature as error:
        raise SignatureInvalid(str(error)) from error
    inbox.receive(context(), path.name, event)
    return json_response({"received": True})
