"""Links in the OpenAPI document: which operations take the ID of an object that a response contains."""

from typing import Any

#: The parameter that identifies an object, by the name of its schema.
_PARAMETERS = {
    "Payment": "payment_id",
    "Refund": "refund_id",
    "Event": "event_id",
    "WebhookEndpoint": "endpoint_id",
    "ApiKey": "key_id",
}
_PREFIX = "#/components/schemas/"


def add(document: dict[str, Any]) -> None:
    """Link every response with an object to the operations on it; of an object that nothing creates, every list."""
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    returned = {_schema(response) for operation in operations for response in _successes(operation)}
    for schema, parameter in _PARAMETERS.items():
        targets = [
            operation["operationId"]
            for operation in operations
            if any(item["name"] == parameter and item["in"] == "path" for item in operation.get("parameters", ()))
        ]
        creators = any(
            _schema(response) == schema
            for item in document["paths"].values()
            for method, operation in item.items()
            if method == "post"
            for response in _successes(operation)
        )
        source, pointer = (schema, "/id") if creators else (f"{schema}List", "/data/0/id")
        assert source in returned or not targets, source  # noqa: S101 - a renamed schema would lose its links
        for operation in operations:
            for response in _successes(operation):
                if _schema(response) == source:
                    response.setdefault("links", {}).update(
                        {
                            target: {"operationId": target, "parameters": {parameter: f"$response.body#{pointer}"}}
                            for target in targets
                        }
                    )


def _successes(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [response for status, response in operation["responses"].items() if status.startswith("2")]


def _schema(response: dict[str, Any]) -> str:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).removeprefix(_PREFIX)
