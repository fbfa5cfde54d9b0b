"""Where processors tell us that something happened."""

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from payments.core.problems import ContentTooLarge, InternalError, NotFound, ServiceUnavailable, SignatureInvalid
from payments.processors.inbound import InvalidSignature, SendsWebhooks
from payments.services import inbox
from payments.web.endpoints.payments import answer_json
from payments.web.http import guards as edge
from payments.web.http import strict_json
from payments.web.http.state import context
from payments.web.openapi.api import QueryModel, responses

_TAG = Tag(name="Processors", description="For processors, not for merchants.")


class ProcessorPath(QueryModel):
    """Names a processor."""

    name: str = Field(pattern="^[a-z]{1,32}$")


class Received(BaseModel):
    """The message is kept."""

    received: bool


api = APIBlueprint("processor_webhooks", __name__, url_prefix="/v1", abp_tags=[_TAG])


@api.post(
    "/processors/<name>/webhooks",
    responses=responses(
        {200: Received},
        SignatureInvalid,
        NotFound,
        ContentTooLarge,
        always=(InternalError, ServiceUnavailable),
    ),
)
@edge.public
def receive_processor_webhook(path: ProcessorPath) -> Response:
    """Take a signed message of a processor's.

    It is kept before it is answered, once however often it comes. Then the object that it is about is retrieved from
    the processor: neither the order nor the content of messages is trusted.
    """
    processor: object = context().processors.get(path.name)
    if not isinstance(processor, SendsWebhooks):
        raise NotFound("There is no such processor here that sends webhooks.")
    body = strict_json.read_body(request)  # raw: the signature is over these very bytes
    try:
        notice = processor.read_webhook(body, dict(request.headers))
    except InvalidSignature as refused:
        raise SignatureInvalid(str(refused)) from refused
    inbox.receive(context(), path.name, notice)
    return answer_json({"received": True})
