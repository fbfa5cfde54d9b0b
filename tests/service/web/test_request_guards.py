"""Request guards: every view declares who may call it, and bodies and queries are strict."""

from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.info import Info
from pydantic import Field

from payments.core.problems import NotFound
from payments.domain import api_keys
from payments.domain.api_keys import Scope, StoredKey
from payments.web.http import auth, guards, problems
from payments.web.http.models import Parameters, RequestBody
from payments.web.openapi.api import Api
from payments.web.openapi.responses import WITH_BODY, responses

_SECRET = "a" * 43
_KEY = f"sk_test_reader_{_SECRET}"
_HEADERS = {"Authorization": f"Bearer {_KEY}"}


class ThingPath(Parameters):
    thing_id: str = Field(pattern="^thing_[a-z]+$")


class ThingQuery(Parameters):
    limit: int = Field(default=10, ge=1, le=100)


class Part(RequestBody):
    size: int


class ThingBody(RequestBody):
    amount: int = Field(gt=0, examples=[1])
    note: str | None = None
    final: bool = True
    parts: list[Part] = Field(default_factory=list)


def _load(key_id: str) -> StoredKey | None:
    if key_id != "key_reader":
        return None
    return StoredKey(
        id="key_reader",
        merchant_id="mer_1",
        livemode=False,
        secret_hash=api_keys.hash_token(_KEY),
        scopes=frozenset({Scope.PAYMENTS_READ}),
        api_version="2026-11-01",
        expires_at=None,
        expires_in=None,
        revoked_at=None,
    )


@pytest.fixture
def app() -> Flask:
    api = APIBlueprint("things", __name__, url_prefix="/v1", abp_security=[{"api_key": []}])
    app = Api("guards-test", info=Info(title="Things", version="1"))
    problems.register(app)
    auth.register(app, auth.Authenticator(_load, allow_live_keys=False))

    @api.get("/things/<string:thing_id>", responses=responses({200: None}, NotFound))
    @guards.requires(Scope.PAYMENTS_READ)
    def get_thing(path: ThingPath) -> dict[str, object]:
        """Get a thing

        With all
        its parts.
        """
        return {"id": path.thing_id}

    @api.get("/things", responses=responses({200: None}))
    @guards.requires(Scope.PAYMENTS_READ)
    def list_things(query: ThingQuery) -> dict[str, object]:
        return {"limit": query.limit}

    @api.post("/things", responses=responses({201: None}, *WITH_BODY))
    @guards.requires(Scope.PAYMENTS_READ)
    def make_thing(body: ThingBody) -> dict[str, object]:
        return body.model_dump()

    @api.post("/secrets", responses=responses({201: None}))
    @guards.requires(Scope.API_KEYS_WRITE)
    def make_secret(body: ThingBody) -> dict[str, object]:
        return {}

    @api.get("/health", responses=responses({200: None}))
    @guards.public
    def health() -> dict[str, object]:
        return {"keys": sorted(request.args)}

    app.register_api(api)
    guards.register(app)
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def _code(response: Any) -> tuple[int, str]:
    return response.status_code, response.get_json(force=True).get("code", "")


def test_a_view_without_a_declaration_stops_the_start() -> None:
    app = Flask("forgetful", static_folder=None)
    app.add_url_rule("/open", view_func=lambda: "")
    with pytest.raises(LookupError, match="@requires"):
        guards.register(app)


def test_authentication_and_scopes_come_before_validation(client: FlaskClient) -> None:
    assert _code(client.post("/v1/things", json={"wrong": 1})) == (401, "unauthenticated")
    assert _code(client.post("/v1/secrets", json={"wrong": 1}, headers=_HEADERS)) == (403, "scope_missing")
    assert client.get("/v1/health").status_code == 200


def test_an_unknown_path_or_method_needs_no_key(client: FlaskClient) -> None:
    assert _code(client.get("/v1/nothing")) == (404, "not_found")
    assert _code(client.delete("/v1/things")) == (405, "method_not_allowed")
    assert _code(client.get("/v1/things/")) == (404, "not_found")


def test_a_valid_request_reaches_its_view(client: FlaskClient) -> None:
    response = client.post("/v1/things", json={"amount": 5, "parts": [{"size": 1}]}, headers=_HEADERS)
    assert response.get_json() == {"amount": 5, "note": None, "final": True, "parts": [{"size": 1}]}
    assert client.get("/v1/things?limit=7", headers=_HEADERS).get_json() == {"limit": 7}
    assert client.get("/v1/things/thing_x", headers=_HEADERS).get_json() == {"id": "thing_x"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/amount"),
        ({"amount": "5"}, "#/amount"),
        ({"amount": 5.0}, "#/amount"),
        ({"amount": True}, "#/amount"),
        ({"amount": None}, "#/amount"),
        ({"amount": 0}, "#/amount"),
        ({"amount": 5, "final": "yes"}, "#/final"),
        ({"amount": 5, "final": 1}, "#/final"),
        ({"amount": 5, "note": 1}, "#/note"),
        ({"amount": 5, "a/b": 1}, "#/a~1b"),
        ({"amount": 5, "parts": [{"size": 1}, {"size": "1"}]}, "#/parts/1/size"),
        ({"amount": 5, "parts": {}}, "#/parts"),
    ],
)
def test_nothing_is_coerced(client: FlaskClient, body: object, pointer: str) -> None:
    response = client.post("/v1/things", json=body, headers=_HEADERS)
    assert _code(response) == (422, "validation_failed")
    assert response.get_json(force=True)["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("body", ["[]", "5", "null", '"x"', '"{\\"amount\\": 5}"'])
def test_a_body_must_be_an_object(client: FlaskClient, body: object) -> None:
    response = client.post("/v1/things", data=body, content_type="application/json", headers=_HEADERS)
    assert _code(response) == (422, "validation_failed")


def test_values_are_not_repeated(client: FlaskClient) -> None:
    response = client.post("/v1/things", json={"amount": "hunter2", "note": 8675309}, headers=_HEADERS)
    assert b"hunter2" not in response.data
    assert b"8675309" not in response.data


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=0", (422, "validation_failed")),
        ("limit=x", (422, "validation_failed")),
        ("unknown=1", (422, "validation_failed")),
        ("limit=1&limit=2", (400, "malformed_request")),
        ("limit=1&limit=1", (400, "malformed_request")),
    ],
)
def test_queries_are_strict(client: FlaskClient, query: str, expected: tuple[int, str]) -> None:
    assert _code(client.get(f"/v1/things?{query}", headers=_HEADERS)) == expected


def test_a_view_without_parameters_takes_none(client: FlaskClient) -> None:
    assert _code(client.get("/v1/health?x=1")) == (400, "malformed_request")


def test_card_numbers_are_refused_before_authentication(client: FlaskClient) -> None:
    body = {"amount": 5, "note": "4111 1111 1111 1111"}
    assert _code(client.post("/v1/things", json=body, headers=_HEADERS)) == (400, "card_number_refused")
    assert _code(client.get("/v1/things?limit=4111111111111111")) == (400, "card_number_refused")


def test_the_document_lists_each_error_as_a_problem(app: Flask) -> None:
    assert isinstance(app, Api)
    document = app.api_doc
    assert document["openapi"].startswith("3.1")
    get = document["paths"]["/v1/things/{thing_id}"]["get"]
    assert get["summary"] == "Get a thing"
    assert get["description"] == "With all\nits parts."
    assert {"200", "400", "401", "403", "404", "429", "500", "503"} == set(get["responses"])
    problem = get["responses"]["400"]["content"]["application/problem+json"]
    assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert set(problem["examples"]) == {"malformed_request", "card_number_refused"}
    assert "422" in document["paths"]["/v1/things"]["post"]["responses"]
    assert "Problem" in document["components"]["schemas"]
    assert document["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"
