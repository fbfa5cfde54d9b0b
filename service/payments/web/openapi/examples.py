"""Examples in the OpenAPI document, generated from the schemas' own examples, so none is missing or wrong."""

from collections.abc import Mapping
from typing import Any

from payments.web.openapi.code_samples import TEST_KEY

_APPROVED = {"capture_method": "manual"}
_UNKNOWN = {"status": "processing", "amount_authorized": 0, "amount_captured": 0}
_AUTHORIZED = {**_APPROVED, "status": "requires_capture", "amount_capturable": 1099, "amount_captured": 0}
_SECRET = {"secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD..."}
#: How the responses of operations differ from the examples of their objects.
_CHANGES: Mapping[tuple[str, str], Mapping[str, object]] = {
    ("createPayment", "202"): _UNKNOWN,
    ("capturePayment", "200"): _APPROVED,
    ("capturePayment", "202"): {**_AUTHORIZED, "pending_operation": "capture"},
    ("voidPayment", "200"): {**_AUTHORIZED, "status": "canceled", "amount_capturable": 0},
    ("voidPayment", "202"): {**_AUTHORIZED, "pending_operation": "void"},
    ("createRefund", "202"): {"status": "pending"},
    ("createWebhookEndpoint", "201"): _SECRET,
    ("rotateWebhookSecret", "200"): _SECRET,
    ("createApiKey", "201"): {"secret": TEST_KEY},
    ("rotateApiKey", "201"): {"secret": TEST_KEY},
    ("revokeApiKey", "200"): {"status": "revoked", "revoked_at": 1795500000},
    ("readyz", "200"): {"status": "ready"},
}


def resolve(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow the references of ``schema``; siblings of a reference take precedence."""
    while "$ref" in schema:
        target: Any = document
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        schema = {**target, **{name: value for name, value in schema.items() if name != "$ref"}}
    return schema


def sample(document: Mapping[str, Any], schema: Mapping[str, Any], *, is_request: bool) -> object:
    """Return a value that ``schema`` accepts. A request omits fields with a default; a response has all of them.

    Raises:
        LookupError: A value has neither an example nor a choice: what would be made up helps nobody.
    """
    schema = resolve(document, schema)
    values = [*schema.get("examples", ()), *(schema[name] for name in ("const", "default") if name in schema)]
    values += schema.get("enum", ())
    if values:
        return values[0]
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        return sample(document, choice, is_request=is_request)
    if "items" in schema:
        return [sample(document, schema["items"], is_request=is_request)]
    if schema.get("type") == "object":
        return _fields(document, schema, is_request=is_request)
    if schema.get("type") == "boolean":
        return False
    raise LookupError(f"no example: {schema}")


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any], *, is_request: bool) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    return {
        name: sample(document, field, is_request=is_request)
        for name, field in schema.get("properties", {}).items()
        if not is_request or name in required or "examples" in field
    }


def add(document: dict[str, Any]) -> None:
    """Add an example to every request body and response of ``document`` that has none."""
    for item in document["paths"].values():
        for operation in item.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                _add(document, content, is_request=True)
            for status, response in operation["responses"].items():
                changes = _CHANGES.get((operation["operationId"], status), {})
                for content in response.get("content", {}).values():
                    _add(document, content, changes)


def _add(
    document: Mapping[str, Any],
    content: dict[str, Any],
    changes: Mapping[str, object] | None = None,
    *,
    is_request: bool = False,
) -> None:
    if content.get("schema") == {"type": "string"} or content.keys() & {"example", "examples"}:
        return  # a page, or an error
    example = sample(document, content["schema"], is_request=is_request)
    content["example"] = {**example, **changes} if changes and isinstance(example, dict) else example
