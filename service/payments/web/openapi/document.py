"""The OpenAPI document as the reference shows it: operations by tag, the objects they return, fields, examples."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from payments.web.http.problems import MEDIA_TYPE
from payments.web.openapi import wording
from payments.web.openapi.code_samples import Request
from payments.web.openapi.examples import resolve, sample
from payments.web.openapi.markdown import anchor

_METHODS = ("get", "post", "put", "patch", "delete")
_FORM = "application/x-www-form-urlencoded"
_LIST = "List"


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a body or an object, or a parameter."""

    anchor: str
    name: str
    type: str
    required: bool
    #: Markdown, as are the limits.
    description: str
    limits: str
    fields: Sequence["Field"] = ()


@dataclass(frozen=True, kw_only=True)
class FieldGroup:
    """Fields with a title, such as those of the body."""

    anchor: str
    title: str
    fields: Sequence[Field]
    #: JSON.
    example: str = ""


@dataclass(frozen=True, kw_only=True)
class Response:
    """A response that is no error."""

    status: str
    phrase: str
    #: Markdown.
    description: str
    example: str


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    request: Request
    groups: Sequence[FieldGroup]
    responses: Sequence[Response]
    #: Codes of the problems it may return, by status.
    errors: Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A tag: operations, and the objects that they are the first to return."""

    anchor: str
    title: str
    description: str
    operations: Sequence[Operation]
    objects: Sequence[FieldGroup]


class Document:
    """An OpenAPI document, prepared for people.

    Args:
        document: The document.
        base_url: Where clients reach the API.
    """

    def __init__(self, document: Mapping[str, Any], *, base_url: str = "") -> None:  # Any: JSON
        self._document = document
        self._base_url = base_url

    def resources(self) -> list[Resource]:
        """Return the operations and objects by tag, in the document's order."""
        by_tag: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
        for path, item in self._document["paths"].items():
            for method in _METHODS:
                if method in item:
                    tag = next(iter(item[method].get("tags", ())), "Other")
                    by_tag.setdefault(tag, []).append((path, method, item[method]))
        described = {tag["name"]: tag.get("description", "") for tag in self._document.get("tags", ())}
        seen: set[str] = set()
        return [
            Resource(
                anchor=anchor(tag),
                title=tag,
                description=described.get(tag, ""),
                operations=[self._operation(*operation) for operation in operations],
                objects=list(self._objects(operations, seen)),
            )
            for tag, operations in by_tag.items()
        ]

    def _objects(
        self, operations: Sequence[tuple[str, str, Mapping[str, Any]]], seen: set[str]
    ) -> Iterator[FieldGroup]:
        for _, _, operation in operations:
            for status, response in operation.get("responses", {}).items():
                name = _schema_name(self._content(response)).removesuffix(_LIST)
                if status.startswith("2") and name and name not in seen:
                    seen.add(name)
                    schema = {"$ref": f"#/components/schemas/{name}"}
                    fields = self.fields(schema, of=name, shows_required=False)
                    example = sample(self._document, schema, is_request=False)
                    yield FieldGroup(anchor=name, title=name, fields=fields, example=_json(example))

    def _operation(self, path: str, method: str, operation: Mapping[str, Any]) -> Operation:
        name = operation.get("operationId", f"{method}-{path}")
        no_body: tuple[str, Mapping[str, Any]] = ("", {})
        body_type, body = next(iter(operation.get("requestBody", {}).get("content", {}).items()), no_body)
        responses: list[Response] = []
        errors: dict[str, list[str]] = {}
        for status, response in operation.get("responses", {}).items():
            if MEDIA_TYPE in response.get("content", {}):
                errors[status] = list(response["content"][MEDIA_TYPE].get("examples", {}))
            else:
                responses.append(self._response(status, response))
        parameters = operation.get("parameters", ())
        groups = [
            FieldGroup(
                anchor=f"{name}-{place}",
                title=f"{place.capitalize()} parameters" if place != "header" else "Headers",
                fields=[self._parameter(item, of=name) for item in parameters if item["in"] == place],
            )
            for place in ("path", "query", "header")
        ]
        groups.append(
            FieldGroup(anchor=f"{name}-body", title="Body", fields=self.fields(body.get("schema", {}), of=name))
        )
        return Operation(
            anchor=name,
            method=method.upper(),
            path=path,
            summary=operation.get("summary", ""),
            description=operation.get("description", ""),
            request=Request(
                method=method.upper(),
                url=self._url(path, parameters),
                authenticated=bool(operation.get("security")),
                idempotent=any(item["name"] == "Idempotency-Key" for item in parameters),
                body=body.get("example"),
                is_form=body_type == _FORM,
            ),
            groups=[group for group in groups if group.fields],
            responses=responses,
            errors=errors,
        )

    def _url(self, path: str, parameters: Sequence[Mapping[str, Any]]) -> str:
        """Return the URL with the parameters that have examples."""
        query = {}
        for parameter in parameters:
            if "example" in parameter and parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", quote(str(parameter["example"]), safe=""))
            elif "example" in parameter and parameter["in"] == "query":
                query[parameter["name"]] = parameter["example"]
        return self._base_url + path + (f"?{urlencode(query)}" if query else "")

    def _parameter(self, parameter: Mapping[str, Any], *, of: str) -> Field:
        schema = parameter.get("schema", {})
        return Field(
            anchor=f"{of}.{parameter['name']}",
            name=parameter["name"],
            type=wording.type_of(schema, self._resolve),
            required=bool(parameter.get("required")),
            description=str(parameter.get("description") or schema.get("description", "")),
            limits=wording.limits(schema, self._resolve),
        )

    def _response(self, status: str, response: Mapping[str, Any]) -> Response:
        content, description = self._content(response), response.get("description", "")
        name = _schema_name(content)
        if name.endswith(_LIST):
            name = name.removesuffix(_LIST)
            description = f"A [list](#lists) of [{name}](#{name}) objects, newest first."
        elif name:
            description = f"A [{name}](#{name}) object."
        example = content.get("example")
        return Response(
            status=status,
            phrase=HTTPStatus(int(status)).phrase if status.isdigit() else "",
            description=description,
            example="" if example is None else _json(example),
        )

    @staticmethod
    def _content(response: Mapping[str, Any]) -> Mapping[str, Any]:
        content: Mapping[str, Any] = next(iter(response.get("content", {}).values()), {})
        return content

    def fields(self, schema: Mapping[str, Any], *, of: str, shows_required: bool = True) -> list[Field]:
        """Return the fields of an object, or of the object that ``schema`` lists or allows besides null."""
        schema = self._object_in(schema)
        required = set(schema.get("required", ())) if shows_required else set()
        return [
            Field(
                anchor=f"{of}.{name}",
                name=name,
                type=wording.type_of(value, self._resolve),
                required=name in required,
                description=self._resolve(value).get("description", ""),
                limits=wording.limits(value, self._resolve),
                fields=self.fields(value, of=f"{of}.{name}", shows_required=shows_required),
            )
            for name, value in schema.get("properties", {}).items()
        ]

    def _object_in(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        schema = self._resolve(schema)
        if "items" in schema:
            return self._object_in(schema["items"])
        for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
            candidate = self._object_in(choice)
            if "properties" in candidate:
                return candidate
        return schema

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        return resolve(self._document, schema)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _schema_name(content: Mapping[str, Any]) -> str:
    return str(content.get("schema", {}).get("$ref", "")).rpartition("/")[2]
