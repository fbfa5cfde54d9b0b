"""Holds the stand-in's responses, and our requests, to Stripe's published OpenAPI document.

`stripe_openapi.json` is an extract of it: the calls and objects that we use, without prose. To renew it, take
`openapi/spec3.json` of https://github.com/stripe/openapi (MIT licence) at the wanted version, and run

    python -m tests.service.processors.stripe_contract spec3.json
"""

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types

EXTRACT = Path(__file__).with_name("stripe_openapi.json")
#: The stand-in's calls, and what they return.
CALLS = {
    "create": ("post", "/v1/payment_intents"),
    "retrieve": ("get", "/v1/payment_intents/{intent}"),
    "confirm": ("post", "/v1/payment_intents/{intent}/confirm"),
    "capture": ("post", "/v1/payment_intents/{intent}/capture"),
    "cancel": ("post", "/v1/payment_intents/{intent}/cancel"),
    "refund": ("post", "/v1/refunds"),
    "get_refund": ("get", "/v1/refunds/{refund}"),
    "list_refunds": ("get", "/v1/refunds"),
}
#: Objects kept whole. Others, which the stand-in refers to by id only, may be anything.
_SCHEMAS = (
    "payment_intent",
    "payment_intent_next_action",
    "payment_intent_next_action_redirect_to_url",
    "refund",
    "error",
    "api_errors",
)
_KEYWORDS = frozenset(
    "additionalProperties anyOf enum items maxLength properties required type".split()  # noqa: SIM905 - words
)


def violations(call: str, form: dict[str, Any], status: int, body: dict[str, Any]) -> Iterator[str]:
    """What contradicts the document in a request and its response."""
    if call not in CALLS:
        return
    for error in _validator(call, "request").iter_errors(_typed(form, _document()["calls"][call]["request"])):
        # What the call itself refuses is the stand-in's business.
        if status < 400:
            yield f"request of {call}: {error.json_path} {error.message}"
    part = "response" if status < 400 else "error"
    for error in _validator(call, part).iter_errors(body):
        yield f"{part} of {call}: {error.json_path} {error.message}"


@cache
def _document() -> dict[str, Any]:
    return dict(json.loads(EXTRACT.read_text()))


@cache
def _validator(call: str, part: str) -> Draft202012Validator:
    document = _document()
    schema = document["components"]["schemas"]["error"] if part == "error" else document["calls"][call][part]
    return Draft202012Validator({**schema, "components": document["components"]})


def _typed(form: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Read the strings of a form as the types that the document names."""
    kinds = {name: value.get("type") for name, value in schema["properties"].items()}
    return {name: _value(value, kinds.get(name)) for name, value in form.items()}


def _value(value: Any, kind: str | None) -> Any:
    if kind == "integer" and isinstance(value, str) and value.isdigit():
        return int(value)
    if kind == "boolean" and value in {"true", "false"}:
        return value == "true"
    return value


# ---- extraction
def extract(document: dict[str, Any]) -> dict[str, Any]:
    """Return what we use of the whole document."""
    schemas = {name: _trim(document["components"]["schemas"][name]) for name in _SCHEMAS}
    calls = {}
    for call, (method, path) in CALLS.items():
        operation = document["paths"][path][method]
        calls[call] = {
            "request": _request(operation),
            "response": _trim(operation["responses"]["200"]["content"]["application/json"]["schema"]),
        }
    return {
        "info": {
            "title": "Extract of the Stripe API",
            "version": document["info"]["version"],
            "source": "https://github.com/stripe/openapi, openapi/spec3.json",
            "license": "MIT, Copyright (c) Stripe, Inc.",
        },
        "calls": calls,
        "components": {"schemas": schemas},
    }


def _request(operation: dict[str, Any]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded")
    if content and content["schema"]["properties"]:
        schema = content["schema"]
        properties, required = schema["properties"], schema.get("required", [])
    else:
        found = [parameter for parameter in operation.get("parameters", []) if parameter["in"] == "query"]
        properties = {parameter["name"]: parameter["schema"] for parameter in found}
        required = [parameter["name"] for parameter in found if parameter.get("required")]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        # Nested parameters, of which we send none but metadata and lists, are not kept.
        "properties": {
            name: {} if "anyOf" in value or (value.get("type") == "object" and name != "metadata") else _trim(value)
            for name, value in properties.items()
        },
    }


def _trim(schema: Any) -> Any:
    """Keep what validates, and replace references to objects that are not kept."""
    if isinstance(schema, list):
        return [_trim(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return {"$ref": f"#/components/schemas/{name}"} if name in _SCHEMAS else {"type": "object"}
    trimmed = {}
    for keyword in sorted(_KEYWORDS & schema.keys()):
        value = schema[keyword]
        trimmed[keyword] = (
            {name: _trim(each) for name, each in value.items()} if keyword == "properties" else _trim(value)
        )
    # OpenAPI's `nullable`, in the words of JSON Schema.
    return {"anyOf": [trimmed, {"type": "null"}]} if schema.get("nullable") else trimmed


if __name__ == "__main__":
    EXTRACT.write_text(json.dumps(extract(json.loads(Path(sys.argv[1]).read_text())), indent=1, sort_keys=True) + "\n")
