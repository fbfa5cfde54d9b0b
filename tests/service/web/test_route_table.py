"""Promises about every route, read from the route table, so new endpoints are covered automatically."""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import hypothesis.strategies as st
import jsonschema  # type: ignore[import-untyped]  # no stubs are locked
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from werkzeug.test import TestResponse

from payments.core.problems import all_errors
from payments.domain.api_keys import Scope
from payments.repositories.database import Database
from payments.web.app import create_app
from payments.web.http import guards
from payments.web.openapi.api import Api
from tests.service.api import SETTINGS, sandbox_context
from tests.service.fixtures import ApiKey, Postgres, make_key
from tests.service.seed import add_event

#: Path parameters that are not a merchant's object: a capability that is itself secret, and a processor's name.
_NOT_OWNED = {"token", "name"}


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    endpoint: str

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"<(?:\w+:)?(\w+)>", self.path)

    @property
    def documented_path(self) -> str:
        return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", self.path)

    def name(self) -> str:
        return self.endpoint.rpartition(".")[2]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@cache
def _make_app(database: Any = None, journal: Any = None) -> Api:
    return create_app(sandbox_context(database, journal), SETTINGS)


def _routes(app: Api) -> list[Route]:
    return [
        Route(method, rule.rule, rule.endpoint)
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


#: Without a database: for what is decided before one is asked.
_APP = _make_app()
_DOCUMENT = json.loads(json.dumps(_APP.api_doc))
ROUTES = _routes(_APP)
API_ROUTES = [route for route in ROUTES if route.path.startswith("/v1")]
KEYED = [route for route in API_ROUTES if guards.scopes_of(_APP.view_functions[route.endpoint]) is not None]
OWNED = [route for route in KEYED if set(route.parameters) - _NOT_OWNED]


_PREFIXES = {"payment_id": "pay", "refund_id": "re", "event_id": "evt", "key_id": "key", "endpoint_id": "we"}


def _path(route: Route, objects: dict[str, str] | None = None) -> str:
    """The route's path with ``objects``, or with well-formed ids of nothing."""
    known = objects or {name: f"{prefix}_{'0' * 26}" for name, prefix in _PREFIXES.items()}
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda match: known.get(match[1], "x"), route.path)


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = _DOCUMENT["paths"][route.documented_path][route.method.lower()]
    return found


#: Lists that have pages.
LISTS = [route for route in KEYED if any(item["name"] == "cursor" for item in _operation(route).get("parameters", ()))]


def _example(route: Route) -> Any:
    return _operation(route).get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")


@pytest.fixture
def client(database: Database, journal: Database) -> FlaskClient:
    return _make_app(database, journal).test_client()


def _call(client: FlaskClient, route: Route, path: str, headers: dict[str, str], **changes: Any) -> TestResponse:
    """The documented example of ``route``, with ``changes``."""
    values: dict[str, Any] = {"headers": {**headers, "Idempotency-Key": uuid.uuid4().hex}}
    if _example(route) is not None:
        values["json"] = _example(route)
    return client.open(path, method=route.method, **{**values, **changes})


# ---- tenants --------------------------------------------------------------------------------------------------------
@pytest.fixture
def objects(client: FlaskClient, key: ApiKey, postgres: Postgres) -> dict[str, str]:
    """One object of Alice's for every kind of path parameter."""

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = client.post(path, json=body, headers={**key.headers, "Idempotency-Key": uuid.uuid4().hex})
        assert response.status_code < 300, response.text
        return dict(response.get_json())

    payment = post("/v1/payments", {"amount": 1000, "currency": "EUR", "payment_method": "tok_visa"})["id"]
    return {
        "payment_id": payment,
        "refund_id": post(f"/v1/payments/{payment}/refunds", {"amount": 1})["id"],
        "event_id": add_event(postgres, key.merchant_id),
        "key_id": post("/v1/api_keys", {"name": "n", "scopes": ["payments:read"]})["id"],
        "endpoint_id": post("/v1/webhook_endpoints", {"url": "https://shop.example/hook"})["id"],
    }


@pytest.mark.parametrize("route", OWNED, ids=Route.name)
def test_other_tenants_get_404(
    client: FlaskClient, key: ApiKey, postgres: Postgres, objects: dict[str, str], route: Route
) -> None:
    unknown = set(route.parameters) - set(objects)
    assert not unknown, f"say in `objects` how to make one for {unknown}"
    path = _path(route, objects)
    strangers = [make_key(postgres, "mer_bob"), make_key(postgres, key.merchant_id, livemode=True)]
    for stranger in strangers:
        response = _call(client, route, path, stranger.headers)
        assert (response.status_code, response.get_json(force=True)["code"]) == (404, "not_found")
    # The very request is fine when its owner makes it.
    assert _call(client, route, path, key.headers).status_code not in {400, 404, 422}


@pytest.mark.parametrize("route", [route for route in OWNED if route.method == "GET"], ids=Route.name)
def test_a_malformed_id_is_not_found(client: FlaskClient, key: ApiKey, route: Route) -> None:
    for wrong in ("x", "pay_", "pay_!", "pay_zzzzzzzzzzzzzzzzzzzzzzzzzz", "key_", "%00", "evt_01\u0131"):
        path = re.sub(r"<(?:\w+:)?(\w+)>", wrong, route.path)
        assert client.get(path, headers=key.headers).status_code == 404


@pytest.mark.parametrize(
    "route", [route for route in KEYED if route.method == "GET" and not route.parameters], ids=Route.name
)
def test_lists_are_tenant_scoped(
    client: FlaskClient, postgres: Postgres, objects: dict[str, str], route: Route
) -> None:
    bob = make_key(postgres, "mer_bob", scopes=frozenset({Scope.API_KEYS_READ, *_needed(route)}))
    shown = json.dumps(client.get(route.path, headers=bob.headers).get_json())
    assert not [identifier for identifier in objects.values() if identifier in shown]
    assert "mer_alice" not in shown


def _needed(route: Route) -> frozenset[Scope]:
    return guards.scopes_of(_APP.view_functions[route.endpoint]) or frozenset()


# ---- authentication -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("route", KEYED, ids=Route.name)
def test_key_and_scope_are_required(client: FlaskClient, postgres: Postgres, route: Route) -> None:
    path = _path(route)
    assert client.open(path, method=route.method).status_code == 401
    weak = make_key(postgres, "mer_alice", scopes=frozenset(Scope) - _needed(route))
    response = client.open(path, method=route.method, headers=weak.headers)
    assert (response.status_code, response.get_json(force=True)["code"]) == (403, "scope_missing")


def test_only_these_routes_are_public() -> None:
    assert {str(route) for route in ROUTES if route not in KEYED} == {
        "GET /healthz",
        "GET /readyz",
        "GET /openapi.json",
        "GET /docs",
        "GET /v1/sandbox/3ds/<token>",
        "POST /v1/sandbox/3ds/<token>",
        "POST /v1/processors/<name>/webhooks",
    }


# ---- strictness -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("route", [route for route in KEYED if route.method == "POST"], ids=Route.name)
def test_posts_require_idempotency_key(client: FlaskClient, key: ApiKey, route: Route) -> None:
    path = _path(route)
    missing = client.post(path, json=_example(route), headers=key.headers)
    assert (missing.status_code, missing.get_json(force=True)["code"]) == (400, "idempotency_key_missing")
    twice = [*key.headers.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    invalid = client.post(path, json=_example(route), headers=twice)
    assert (invalid.status_code, invalid.get_json(force=True)["code"]) == (400, "idempotency_key_invalid")


@pytest.mark.parametrize("route", [route for route in KEYED if _example(route) is not None], ids=Route.name)
def test_every_body_is_strict(client: FlaskClient, key: ApiKey, route: Route) -> None:
    path = _path(route)
    unknown = _call(client, route, path, key.headers, json={**_example(route), "surprise": 1})
    assert unknown.status_code == 422
    assert unknown.get_json(force=True)["errors"][0]["pointer"] == "#/surprise"
    text = {"data": "{}", "content_type": "text/plain", "json": None}
    assert _call(client, route, path, key.headers, **text).status_code == 415
    large = {"data": b" " * 65537, "content_type": "application/json", "json": None}
    assert _call(client, route, path, key.headers, **large).status_code == 413
    doubled = {"data": '{"a": 1, "a": 2}', "content_type": "application/json", "json": None}
    assert _call(client, route, path, key.headers, **doubled).status_code == 400


@pytest.mark.parametrize("route", [route for route in KEYED if route.method == "GET"], ids=Route.name)
def test_every_query_is_strict(client: FlaskClient, key: ApiKey, route: Route) -> None:
    path = _path(route)
    for query in ("surprise=1", "surprise", "=1", "limit=%00", "reference=a%00b", "cursor=%FF", "limit=%ED%A0%80"):
        assert client.get(f"{path}?{query}", headers=key.headers).status_code in {400, 422}, query


@pytest.mark.parametrize("route", LISTS, ids=Route.name)
def test_limits_and_cursors_are_checked(client: FlaskClient, key: ApiKey, route: Route) -> None:
    path = _path(route)
    numbers = ("0", "101", "1.5", "", "%2B5", "05", "5_0", "%205", "1e1", "%D9%A1")
    cursors = [
        *("", "%21", "A", "x", "7-", "7-x", "a-b", f"7-pay_{'0' * 26}", f"pay_{'0' * 26}%0A", "07"),
        *(f"{xid}-{prefix}_{'0' * 26}" for prefix in ("evt", "tr") for xid in ("0", "07", "09", "9" * 20)),
    ]
    wrong = [*(f"limit={text}" for text in numbers), *(f"cursor={text}" for text in cursors), "limit=1&limit=1"]
    for query in wrong:
        assert client.get(f"{path}?{query}", headers=key.headers).status_code in {400, 422}, query


@pytest.mark.parametrize("route", LISTS, ids=Route.name)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cursor_is_what_looks_like_one(client: FlaskClient, key: ApiKey, route: Route, data: st.DataObject) -> None:
    """The published pattern promises that PostgreSQL, too, can read what matches it."""
    (cursor,) = (item for item in _operation(route)["parameters"] if item["name"] == "cursor")
    value = data.draw(st.from_regex(re.compile(cursor["schema"]["pattern"], re.ASCII), fullmatch=True))
    response = client.get(_path(route), query_string={"cursor": value}, headers=key.headers)
    assert response.status_code == (404 if route.parameters else 200), value


@pytest.mark.parametrize("route", ROUTES, ids=Route.name)
def test_other_methods_are_405(route: Route) -> None:
    client, path = _APP.test_client(), _path(route)
    response = client.open(path, method="PUT")
    assert (response.status_code, response.get_json(force=True)["code"]) == (405, "method_not_allowed")
    assert route.method in response.headers["Allow"]
    for other in {f"{path}/", path.upper(), path.replace("/v1/", "/v1//")} - {path}:
        assert client.open(other, method=route.method).status_code == 404


@pytest.mark.parametrize("route", ROUTES, ids=Route.name)
def test_security_headers_are_set(route: Route) -> None:
    response = _APP.test_client().open(_path(route), method=route.method)
    assert response.headers["Strict-Transport-Security"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["Request-Id"].startswith("req_")
    assert not re.search(r"\d", response.headers["Server"])


# ---- the document ---------------------------------------------------------------------------------------------------
def test_the_document_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(_DOCUMENT).validate()
    ids = [operation["operationId"] for item in _DOCUMENT["paths"].values() for operation in item.values()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("route", API_ROUTES, ids=Route.name)
def test_responses_are_documented(route: Route) -> None:
    operation = _operation(route)
    responses = operation["responses"]
    assert operation["summary"]
    assert [status for status in responses if status < "400"], "document the successful response"
    expected = {"400", "401", "403", "429", "500", "503"} if route in KEYED else set()
    if set(route.parameters):
        expected |= {"404"}
    if _example(route) is not None:
        expected |= {"413", "415", "422"}
    if route in KEYED and route.method == "POST":
        expected |= {"409"}
    assert expected <= set(responses)
    codes = {error.code: str(error.status) for error in all_errors()}
    for status, response in responses.items():
        if status >= "400":
            content = response["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert content["examples"]
            assert all(codes[code] == status for code in content["examples"])


def _contents(route: Route) -> Iterator[dict[str, Any]]:
    operation = _DOCUMENT["paths"].get(route.documented_path, {}).get(route.method.lower(), {})
    yield from operation.get("requestBody", {}).get("content", {}).values()
    for response in operation.get("responses", {}).values():
        yield from response.get("content", {}).values()


@pytest.mark.parametrize("route", API_ROUTES, ids=Route.name)
def test_examples_match_their_schemas(route: Route) -> None:
    for content in _contents(route):
        if content["schema"] == {"type": "string"}:
            continue  # a page, not JSON
        schema = {**content["schema"], "components": _DOCUMENT["components"]}
        examples = [found["value"] for found in content.get("examples", {}).values()] or [content["example"]]
        for example in examples:
            jsonschema.Draft202012Validator(schema).validate(example)


@pytest.mark.parametrize("route", [route for route in KEYED if route.method == "POST"], ids=Route.name)
def test_posts_document_idempotency(route: Route) -> None:
    assert "Idempotency-Key" in [parameter["name"] for parameter in _operation(route)["parameters"]]


def test_document_and_reference_are_public() -> None:
    client = _APP.test_client()
    assert client.get("/openapi.json").get_json() == _DOCUMENT
    page = client.get("/docs")
    assert page.content_type == "text/html; charset=utf-8"
    assert "style-src 'sha256-" in page.headers["Content-Security-Policy"]
    for route in API_ROUTES:
        assert f'id="{_operation(route)["operationId"]}"' in page.text
    assert "tok_lost_approved" in page.text


#: What the document uses of JSON Schema and OpenAPI.
_KEYWORDS = {
    *("$ref", "type", "title", "description", "default", "const", "enum", "example", "examples", "anyOf"),
    *("minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "pattern", "items", "minItems", "maxItems"),
    *("properties", "required", "additionalProperties", "propertyNames", "minProperties", "maxProperties"),
}


def _schemas(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema below a schema."""
    yield value
    for name in ("properties", "$defs"):
        for below in value.get(name, {}).values():
            yield from _schemas(below)
    for below in [*value.get("anyOf", ()), *(value[name] for name in ("items", "propertyNames") if name in value)]:
        yield from _schemas(below)
    if isinstance(value.get("additionalProperties"), dict):
        yield from _schemas(value["additionalProperties"])


def test_every_constraint_is_one_of_json_schema() -> None:
    """A constraint that pydantic cannot place, such as `le` beside `anyOf`, would be published and mean nothing."""
    schemas = [schema for root in _DOCUMENT["components"]["schemas"].values() for schema in _schemas(root)]
    for item in _DOCUMENT["paths"].values():
        for operation in item.values():
            schemas += [schema for found in operation.get("parameters", ()) for schema in _schemas(found["schema"])]
    assert {name for schema in schemas for name in schema} <= _KEYWORDS


@pytest.mark.parametrize("route", API_ROUTES, ids=Route.name)
def test_text_parameters_have_patterns(route: Route) -> None:
    for parameter in _operation(route).get("parameters", ()):
        schema = parameter["schema"]
        assert schema["type"] != "string" or schema.keys() & {"pattern", "enum"}, parameter["name"]
