"""The application class, whose OpenAPI 3.1 document is generated from the endpoints' types and problems."""

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, get_type_hints

from flask_openapi3.models.info import Info
from flask_openapi3.models.server import Server
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel

from payments.core.problems import IdempotencyKeyMissing
from payments.web.http import forms, patterns
from payments.web.http.field_errors import raise_problem
from payments.web.http.problems import MEDIA_TYPE
from payments.web.http.request import StrictRequest
from payments.web.openapi import examples, links
from payments.web.openapi.responses import REQUEST_ID, Problem

_RULE_PARAMETER = re.compile(r"<(?:[^<:>]+:)?([^<>]+)>")
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "A new random value for each new request. Retries send the same value: the request is executed "
    "once, and for 72 hours each retry returns the same response, with `Idempotency-Replayed: true`.",
    "schema": {"type": "string", "pattern": patterns.IDEMPOTENCY_KEY},
    "example": "4c9f1f5e-2a3b-4b53-9d0e-6f0f1f2a7c11",
}
_REPLAYED = {
    "Idempotency-Replayed": {
        "description": "Set if the response was stored for an earlier request: nothing was executed again.",
        "schema": {"const": "true"},
    }
}
_SECURITY_SCHEMES: dict[str, Any] = {
    "api_key": {"type": "http", "scheme": "bearer", "description": "An API key, `sk_test_...` or `sk_live_...`."},
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "The API key as the user name, with an empty password: `curl -u sk_test_...:`.",
    },
}


class Api(OpenAPI):
    """Flask with strict requests, and with a document in which every error is a problem.

    Args:
        import_name: As of Flask.
        info: As of OpenAPI.
        payment_methods: Patterns of what this deployment's processors take as a ``payment_method``.
    """

    request_class = StrictRequest

    def __init__(self, import_name: str, *, info: Info, payment_methods: Sequence[str] = ()) -> None:
        self._payment_methods = payment_methods
        super().__init__(
            import_name,
            info=info,
            servers=[Server(url="/", description="The host that serves this document.")],
            security_schemes=_SECURITY_SCHEMES,
            validation_error_model=Problem,
            validation_error_callback=raise_problem,
            doc_ui=False,
            static_folder=None,
        )
        # A path with a trailing or a doubled slash is a different path, which does not exist.
        self.url_map.strict_slashes = True
        self.url_map.merge_slashes = False
        self.url_map.redirect_defaults = False

    def generate_spec_json(self) -> None:
        """Generate the document, then correct what the library adds or loses."""
        super().generate_spec_json()  # type: ignore[no-untyped-call]  # untyped in the library
        schemas = self.spec_json["components"]["schemas"]
        schemas.update({name: schema for name, schema in _complete_schemas().items() if name in schemas})
        # Problem cannot import the models of the endpoints, which import it.
        for member in ("payment", "refund"):
            if member.title() in schemas:
                reference = {"$ref": f"#/components/schemas/{member.title()}"}
                schemas["Problem"]["properties"][member]["anyOf"] = [reference, {"type": "null"}]
        if "CreatePayment" in schemas:
            schemas["CreatePayment"]["properties"]["payment_method"]["pattern"] = "|".join(self._payment_methods)
        paths = self.spec_json["paths"]
        for rule in self.url_map.iter_rules():
            item = paths.get(_RULE_PARAMETER.sub(r"{\1}", rule.rule), {})
            for method in rule.methods or ():
                if method.lower() in item:
                    view = self.view_functions[rule.endpoint]
                    _correct(item[method.lower()], view, name=rule.endpoint.rpartition(".")[2])
        links.add(self.spec_json)
        examples.add(self.spec_json)


def _complete_schemas() -> dict[str, dict[str, Any]]:
    """Return schemas by name as pydantic generates them: the library drops keywords such as ``examples``."""
    schemas: dict[str, dict[str, Any]] = {}
    pending: list[type[BaseModel]] = [BaseModel]
    while pending:
        for model in pending.pop().__subclasses__():
            pending.append(model)
            if not model.__module__.startswith(("flask_openapi3", "pydantic")):
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas[model.__name__] = {name: value for name, value in schema.items() if name != "$defs"}
    return schemas


def _correct(operation: dict[str, Any], view: Callable[..., object], *, name: str) -> None:
    """Shorten the operation ID, add what the library does not know, and remove its own 422 and markup."""
    first, *rest = name.split("_")
    operation["operationId"] = first + "".join(word.capitalize() for word in rest)
    responses = operation["responses"]
    unprocessable = responses.get(str(HTTPStatus.UNPROCESSABLE_ENTITY), {})
    if "application/json" in unprocessable.get("content", {}):
        del responses[str(HTTPStatus.UNPROCESSABLE_ENTITY)]
    if "description" in operation:
        operation["description"] = operation["description"].replace("<br/>", "\n").strip()
    operation.setdefault("security", [])
    _complete_request(operation, view)
    for response in responses.values():
        response["headers"] = {"Request-Id": REQUEST_ID, **response.get("headers", {})}
    malformed = responses.get(str(HTTPStatus.BAD_REQUEST), {}).get("content", {}).get(MEDIA_TYPE, {})
    if IdempotencyKeyMissing.code in malformed.get("examples", {}):
        operation["parameters"] = [*operation.get("parameters", ()), _IDEMPOTENCY_KEY]
        for status, response in responses.items():
            if status.startswith("2") or status == str(HTTPStatus.PAYMENT_REQUIRED):
                response["headers"] = {**response.get("headers", {}), **_REPLAYED}


def _complete_request(operation: dict[str, Any], view: Callable[..., object]) -> None:
    """Describe the parameters of ``operation`` as pydantic does, and the form that its ``view`` takes."""
    for parameter in operation.get("parameters", ()):
        model = get_type_hints(view)[parameter["in"]]
        parameter["schema"] = _parameter_schema(model.model_json_schema()["properties"][parameter["name"]])
    if form := forms.form_of(view):
        schema = form.model_json_schema(ref_template="#/components/schemas/{model}")
        operation["requestBody"] = {"required": True, "content": {forms.MEDIA_TYPE: {"schema": schema}}}


def _parameter_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter, complete, and without the null that stands for its absence."""
    stated = {name: value for name, value in schema.items() if name not in {"anyOf", "default", "description"}}
    if schema.get("default") is not None:
        stated["default"] = schema["default"]
    for choice in schema.get("anyOf", ()):
        if choice != {"type": "null"}:
            stated |= choice
    return stated
