"""The reference's requests are what the API takes, and its responses what the API returns."""

import contextlib
import io
import json
import re
import shlex
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema  # type: ignore[import-untyped]  # no stubs are locked
import pytest
from standardwebhooks.webhooks import Webhook
from werkzeug.serving import make_server

from payments.domain import webhooks
from payments.repositories.database import Database
from payments.web.openapi import code_samples, markdown
from payments.web.openapi.code_samples import TEST_KEY
from payments.web.openapi.document import Document, Operation
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey
from tests.service.web.test_route_table import _APP, _DOCUMENT

_OPERATIONS = [operation for found in Document(_DOCUMENT).resources() for operation in found.operations]
_KEYED = [operation for operation in _OPERATIONS if operation.request.authenticated]
_GUIDE = {section.anchor: section for section in markdown.sections(_DOCUMENT["info"]["description"])}
#: Fields whose values differ from run to run.
_VOLATILE = {"id", "created", "payment", "event", "secret", "webhook_endpoints", "revoked_at", "data"}


def _name(operation: Operation) -> str:
    return operation.anchor


@pytest.mark.parametrize("operation", _OPERATIONS, ids=_name)
def test_request_and_response(operation: Operation) -> None:
    documented = _DOCUMENT["paths"][operation.path][operation.method.lower()]
    assert (operation.request.body is None) == ("requestBody" not in documented)
    for response in operation.responses:
        content = documented["responses"][response.status].get("content", {})
        assert bool(response.example) == ("application/json" in content)
        assert '"text"' not in response.example


@pytest.mark.parametrize("operation", _OPERATIONS, ids=_name)
def test_curl_is_valid(operation: Operation) -> None:
    command, *words = shlex.split(code_samples.curl(operation.request).replace("\\\n", ""))
    assert command == "curl"
    headers, data, method, urls = {}, [], None, []
    while words:
        word = words.pop(0)
        if word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-d":
            data.append(words.pop(0))
        elif word == "-X":
            method = words.pop(0)
        else:
            urls.append(urlsplit(word))
    documented = _DOCUMENT["paths"][operation.path][operation.method.lower()]
    assert (method or ("POST" if data else "GET")) == operation.method
    assert [re.sub(r"{\w+}", "", operation.path).count("/")] == [url.path.count("/") for url in urls]
    assert ("Authorization" in headers) == bool(documented["security"])
    sent = {**dict(parse_qsl(urls[0].query)), **headers, **_in_path(operation.path, urls[0].path)}
    for parameter in documented.get("parameters", ()):
        if parameter["required"] and parameter["in"] != "header":
            jsonschema.validate(sent[parameter["name"]], parameter["schema"])
        assert parameter["name"] in sent or not parameter["required"]
    for media_type, content in documented.get("requestBody", {}).get("content", {}).items():
        body = json.loads(data[0]) if media_type == "application/json" else dict(parse_qsl("&".join(data)))
        jsonschema.Draft202012Validator({**content["schema"], "components": _DOCUMENT["components"]}).validate(body)


def _in_path(template: str, path: str) -> dict[str, str]:
    match = re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/{}]+)", template), path)
    assert match, path
    return match.groupdict()


@pytest.mark.parametrize("operation", _OPERATIONS, ids=_name)
def test_python_compiles(operation: Operation) -> None:
    compile(code_samples.python(operation.request), operation.anchor, "exec")


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


@pytest.fixture
def server(client: Client) -> Iterator[str]:
    """The API on a port of its own; returns its base URL."""
    http = make_server("127.0.0.1", 0, client.app, threaded=True)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{http.port}"
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.mark.parametrize("operation", _KEYED, ids=_name)
def test_python_runs_as_shown(client: Client, server: str, operation: Operation) -> None:
    program = (
        code_samples.python(operation.request).replace(TEST_KEY, client.key.token).replace('"/v1', f'"{server}/v1')
    )
    for example, made in _objects(client, operation).items():
        program = re.sub(rf"\b{example}_[0-9a-z]{{26}}", made, program)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, operation.anchor, "exec"), {})
    status, _, text = printed.getvalue().partition(" ")
    (shown,) = [response.example for response in operation.responses if response.status == status]
    expected, found = json.loads(shown), json.loads(text)
    if expected["object"] == "list":
        # Nothing was delivered: no worker runs here.
        assert found["data"] or operation.anchor == "listWebhookDeliveries"
        if found["data"]:
            assert list(expected["data"][0]) == list(found["data"][0])
    assert list(expected) == list(found)
    if operation.method == "POST":
        assert {**expected, **_volatile(found)} == found


def _volatile(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name in _VOLATILE and value is not None}


def _objects(client: Client, operation: Operation) -> dict[str, str]:
    """Create what the operation needs; returns ids by prefix."""
    method = "manual" if operation.anchor in {"capturePayment", "voidPayment"} else "automatic"
    url = {"url": "https://shop.example/webhooks"}
    endpoint = client.json(client.post("/v1/webhook_endpoints", url))["id"]
    shown: dict[str, Any] = {"reference": "order-6735", "metadata": {"order": "6735"}, "capture_method": method}
    payment = client.json(client.create(amount=1099, **shown))["id"]
    made = {"pay": payment, "we": endpoint}
    if operation.path.endswith(("/refunds", "{refund_id}")) and operation.method == "GET":
        made["re"] = client.json(client.post(f"/v1/payments/{payment}/refunds", {"amount": 500}))["id"]
    made["evt"] = client.json(client.get(f"/v1/payments/{payment}/events"))["data"][0]["id"]
    made["key"] = client.json(client.post("/v1/api_keys", {"name": "web shop", "scopes": ["payments:write"]}))["id"]
    return made


def _defined_by(anchor: str) -> dict[str, Any]:
    """Execute the guide's program; returns what it defines."""
    defined: dict[str, Any] = {}
    (block,) = _GUIDE[anchor].code_blocks
    exec(compile(block.code, anchor, "exec"), defined)
    return defined


def test_the_guide_verifies_what_we_sign_and_nothing_else() -> None:
    verify, secret, body = _defined_by("receiving-webhooks")["verify"], webhooks.new_secret(), b'{"id": "evt_1"}'
    now, other = int(time.time()), webhooks.new_secret()

    def headers(timestamp: int, *secrets: str) -> dict[str, str]:
        signature = webhooks.sign(secrets, message_id="evt_1", timestamp=timestamp, body=body)
        return {"webhook-id": "evt_1", "webhook-timestamp": str(timestamp), "webhook-signature": signature}

    Webhook(secret).verify(body, headers(now, secret))  # the independent library agrees
    assert verify(secret, headers(now, secret), body) == {"id": "evt_1"}
    assert verify(secret, headers(now, other, secret), body), "during a rotation"
    for wrong_secret, wrong_headers, wrong_body in (
        (secret, headers(now, secret), body + b" "),
        (secret, headers(now, other), body),
        (secret, headers(now - 310, secret), body),
        (secret, {**headers(now, secret), "webhook-id": "evt_2"}, body),
        (secret, {}, body),
        ("", headers(now, "whsec_"), body),  # anybody can sign with an empty secret
    ):
        with pytest.raises(ValueError, match=r"not signed|too old|not configured"):
            verify(wrong_secret, wrong_headers, wrong_body)


def test_both_guides_verify_by_the_same_code() -> None:
    (block,) = _GUIDE["receiving-webhooks"].code_blocks
    function = block.code[block.code.index("TOLERANCE") :].strip()
    assert function in (Path(__file__).parents[3] / "docs" / "api.md").read_text()


def test_the_guide_sends_once_and_reads_every_page(client: Client, server: str) -> None:
    send_once, all_payments = _defined_by("idempotency")["send_once"], _defined_by("lists")["all_payments"]
    body = {"amount": 1099, "currency": "EUR", "payment_method": "tok_visa"}
    sent = [send_once(f"{server}/v1/payments", body, client.key.token, "order-1") for _ in range(2)]
    assert [response.status_code for response in sent] == [201, 201]
    assert sent[0].json() == sent[1].json()
    for number in range(2):
        client.create(key=f"more-{number}")
    assert len(list(all_payments(server, client.key.token, limit=1))) == 3


def test_the_page_shows_the_public_address() -> None:
    page = _APP.test_client().get("/docs", headers={"Host": "evil.example"}).text
    assert "curl https://localhost:8443/v1/payments" in page
    assert "evil.example" not in page
    assert "api.example" not in page
