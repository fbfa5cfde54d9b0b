"""docs/api.md, followed to the letter: every command is entered, every program runs, and what comes of it is shown."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from payments.cli.main import main
from payments.client.trigger import RECIPES
from tests.docs.guide import PAGE, Background, Block, Shell, blocks, checkout, is_shown, table
from tests.service.receivers import Received, receiver
from tests.waiting import wait_until

#: One server for all: it takes some seconds to start.
pytestmark = [pytest.mark.rehearsal, pytest.mark.xdist_group("guide")]

TEXT = PAGE.read_text()


@dataclass(frozen=True, kw_only=True)
class Served:
    """`make serve` in a checkout of its own."""

    folder: Path
    environment: dict[str, str]

    @property
    def facts(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / ".run" / "serve.json").read_text()))

    def call(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer."""
        facts = self.facts
        headers = {"Authorization": f"Bearer {facts['api_key']}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        headers["Idempotency-Key"] = uuid.uuid4().hex
        request = urllib.request.Request(facts["url"] + path, data, headers, method=method)
        context = ssl.create_default_context(cafile=facts["ca_file"])
        try:
            with urllib.request.urlopen(request, context=context, timeout=60) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def create(self, **fields: Any) -> tuple[int, dict[str, Any]]:
        body = {"amount": 1000, "currency": "EUR", "payment_method": "tok_visa", **fields}
        return self.call("POST", "/v1/payments", body)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = checkout(tmp_path_factory.mktemp("clone"))
    inherited = ("PAYMENTS_", "SERVE_", "MAKE", "MFLAGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(inherited)}
    environment = {**kept, "PORT": "0"}  # 8443 may be taken
    (start,) = [block for block in blocks(TEXT) if block.name == "serve"]
    server = Background(start.text, folder, "serve", environment)
    found = Served(folder=folder, environment=environment)

    def is_ready() -> bool:
        assert server.process.poll() is None, server.output()
        return (folder / ".run" / "serve.json").exists()

    try:
        wait_until(is_ready, "`make serve`", timeout=120)
        yield found
    finally:
        server.press_ctrl_c()
    assert "Stopping ..." in server.output()


@pytest.fixture
def api(served: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """The server, as `payments listen` and `payments trigger` are told of it."""
    facts = served.facts
    monkeypatch.setenv("PAYMENTS_URL", facts["url"])
    monkeypatch.setenv("PAYMENTS_API_KEY", facts["api_key"])
    monkeypatch.setenv("PAYMENTS_CA_FILE", facts["ca_file"])
    monkeypatch.setenv("PYTHONPATH", str(served.folder / "service"))
    return served


class Reader:
    """Somebody who does what the page says, in as many terminals as it says."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._shell = Shell(served.folder, served.environment)
        self._background: dict[str, Background] = {}
        self._said = ""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = str(free.getsockname()[1])  # 4242 may be taken

    def follow(self, block: Block) -> None:
        text = block.text.replace("4242", self._port)
        if block.language == "python":
            (self._served.folder / block.name).write_text(text)
        elif block.language != "bash":
            self._compare(block.name, text)
        elif block.name == "serve":
            pass  # it does
        elif block.name:
            self._start(block.name, text)
        else:
            self._said = self._shell.enter(text)

    def close(self) -> None:
        for terminal in self._background.values():
            terminal.press_ctrl_c()
        self._shell.close()

    def output(self, name: str) -> str:
        return self._background[name].output()

    def _start(self, name: str, text: str) -> None:
        if "whsec_..." in text:
            (secret,) = re.findall(r"whsec_\S+", self.output("listen").splitlines()[0])
            text = text.replace("whsec_...", secret)
        self._background[name] = Background(text, self._served.folder, name, self._served.environment)
        wait_until(lambda: self._has_started(name), f"the start of {name}")

    def _has_started(self, name: str) -> bool:
        assert self._background[name].process.poll() is None, self.output(name)
        if name == "listen":
            return "Ready!" in self.output(name)
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(self._port))) == 0

    def _compare(self, name: str, shown: str) -> None:
        if name:
            wait_until(lambda: is_shown(shown, self.output(name)), f"{shown}\nin {name}", timeout=20)
        elif self._said:  # what follows no command is from elsewhere
            assert is_shown(shown, self._said), f"shown:\n{shown}\nreal:\n{self._said}"
            self._said = ""


def test_every_command_does_what_the_page_shows(served: Served) -> None:
    reader = Reader(served)
    try:
        for block in blocks(TEXT):
            reader.follow(block)
        assert "refused: not signed with this secret" in reader.output("receiver")
    finally:
        reader.close()
    assert "> Stopped." in reader.output("listen")
    assert "Traceback" not in reader.output("listen")


@pytest.mark.parametrize("row", table(TEXT, "to test | `payment_method` | what happens"), ids=lambda row: row[1][5:-1])
def test_a_token_does_what_the_page_says(served: Served, row: list[str]) -> None:
    """The table's third column: an operation, its status, and what the answer is; perhaps what it is later."""
    told = re.match(r"(\w+): (\d+) `(\w+)`(?:, seconds later `(\w+)`)?", row[2])
    assert told is not None
    operation, status, result, later = told.groups()
    manual = operation in {"capture", "void"}
    answered, answer = served.create(
        payment_method=row[1].strip("`"), capture_method="manual" if manual else "automatic"
    )
    path = f"/v1/payments/{answer.get('id')}"
    if operation != "payment":
        assert answered == 201
        part = "refunds" if operation == "refund" else operation
        answered, answer = served.call("POST", f"{path}/{part}", {})
        path = f"/v1/refunds/{answer.get('id')}" if operation == "refund" else path
    assert (answered, answer["decline_code"] if answered == 402 else answer["status"]) == (int(status), result)
    assert answer.get("retryable", False) is ("`retryable`" in row[2] or result == "insufficient_funds")
    if later:
        wait_until(lambda: served.call("GET", path)[1]["status"] == later, f"{row[1]} to become {later}")


# ---- webhooks ----------------------------------------
def program() -> SimpleNamespace:
    """The page's receiver, as a module."""
    (block,) = [block for block in blocks(TEXT) if block.name == "receiver.py"]
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(block.text, "receiver.py", "exec"), names)
    return SimpleNamespace(**names)


def without(headers: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in names}


@pytest.mark.parametrize("path", ["forwarded", "delivered"])
def test_the_pages_code_verifies_what_arrives(api: Served, path: str) -> None:
    """By `payments listen`, and by the worker to an endpoint; tampered with in any part, it is refused."""
    verify = program().verify
    with receiver() as hook:
        if path == "delivered":
            wanted = {"url": hook.url, "event_types": ["payment.authorized"]}
            secret = api.call("POST", "/v1/webhook_endpoints", wanted)[1]["secret"]
            main(["trigger", "payment.authorized"])
            wait_until(lambda: hook.requests, "the delivery")
        else:
            with Listening(hook.url) as listening:
                main(["trigger", "payment.authorized"])
                wait_until(lambda: hook.requests, "the event")
            secret = listening.secret
    got = hook.requests[0]
    event = verify(secret, got.headers, got.body)
    assert event == api.call("GET", f"/v1/events/{event['id']}")[1]
    assert event["type"] == "payment.authorized"
    Webhook(secret).verify(got.body, got.headers)

    later = str(int(got.headers["webhook-timestamp"]) + 1)
    for headers, body in [
        (got.headers, got.body.replace(b"1099", b"1")),
        (got.headers, got.body + b" "),
        ({**got.headers, "webhook-id": "evt_other"}, got.body),
        ({**got.headers, "webhook-timestamp": later}, got.body),
        ({**got.headers, "webhook-signature": "v1,"}, got.body),
        ({**got.headers, "webhook-signature": "v2," + got.headers["webhook-signature"][3:]}, got.body),
        ({}, got.body),
    ]:
        with pytest.raises(ValueError, match="not signed"):
            verify(secret, headers, body)
    with pytest.raises(ValueError, match="not signed"):
        verify("whsec_" + "A" * 43 + "=", got.headers, got.body)


def test_an_old_message_and_an_empty_secret_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from payments.domain.webhooks import new_secret, signed_headers

    secret, now = new_secret(), int(time.time())
    for age in (-301, 301):
        headers = signed_headers([secret], message_id="evt_1", timestamp=now - age, body=b"{}")
        with pytest.raises(ValueError, match="too old"):
            program().verify(secret, headers, b"{}")
    headers = signed_headers([""], message_id="evt_1", timestamp=now, body=b"{}")
    with pytest.raises(ValueError, match="there is no signing secret"):
        program().verify("", headers, b"{}")
    headers = signed_headers([new_secret(), secret], message_id="evt_1", timestamp=now, body=b"{}")
    assert program().verify(secret, headers, b"{}") == {}, "while a secret is rotated"


# ---- payments listen, payments trigger ----------------------------------------
class Listening:
    """`payments listen`, until the end of the block."""

    def __init__(self, forward_to: str | None = None) -> None:
        # Where tests run in the background of a script, SIGINT is ignored, and so it would be here.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "payments", "listen"]
        command += ["--forward-to", forward_to] if forward_to else []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._lines: list[str] = []
        self._reading = threading.Thread(target=self._read)
        self._reading.start()
        wait_until(lambda: self._lines, "the first line of `payments listen`")
        assert self._lines[0].startswith("> Ready!"), self.output

    @property
    def output(self) -> str:
        return "".join(self._lines)

    @property
    def secret(self) -> str:
        found = re.search(r"whsec_\S+", self._lines[0])
        return found[0] if found else ""

    def __enter__(self) -> "Listening":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)
        self._reading.join()
        assert self._process.returncode == 0, self.output
        assert self.output.endswith("> Stopped.\n")

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.append(line)


def test_a_forwarded_event_is_a_delivered_one(api: Served) -> None:
    """The same body, byte for byte, and the same headers; only the time and the signature differ."""

    def comparable(received: Received) -> tuple[bytes, dict[str, str]]:
        return received.body, without(received.headers, "webhook-timestamp", "webhook-signature", "host")

    with receiver() as endpoint, receiver() as local, Listening(local.url) as listening:
        api.call("POST", "/v1/webhook_endpoints", {"url": endpoint.url, "event_types": ["payment.requires_action"]})
        api.create(
            payment_method="tok_3ds", description="caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{PARTY POPPER} \\u0041"
        )
        wait_until(lambda: endpoint.requests and local.requests, "both")
    assert comparable(local.requests[0]) == comparable(endpoint.requests[0])
    assert local.requests[0].headers["webhook-signature"] != endpoint.requests[0].headers["webhook-signature"]
    assert listening.secret not in api.facts["api_key"]


@pytest.mark.parametrize("event_type", list(RECIPES))
def test_an_event_is_triggered(api: Served, event_type: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trigger", event_type]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    found = re.fullmatch(rf"{event_type} \[(evt_\w+)\] (pay_\w+)", last)
    assert found is not None, last
    event = api.call("GET", f"/v1/events/{found[1]}")[1]
    assert (event["type"], event["payment"]) == (event_type, found[2])


def test_every_event_is_forwarded_once_in_order(api: Served) -> None:
    """Whatever the receiver answers. Payments of other tests may still settle meanwhile."""
    with receiver() as local, Listening(local.url) as listening:
        local.statuses = [500, 302, 204]
        payments = [api.create()[1]["id"] for _ in range(5)]

        def forwarded() -> list[str]:
            about = [json.loads(each.body)["payment"] for each in local.requests]
            return [payment for payment in about if payment in payments]

        wait_until(lambda: len(forwarded()) >= len(payments), "all events")
        wait_until(lambda: listening.output.count("<--") == len(local.requests), "what was answered")
    assert forwarded() == payments
    statuses = re.findall(r"<--  \[(\w+)\]", listening.output)
    assert statuses == ["500", "302", *["204"] * (len(local.requests) - 2)]
    assert "Redirects are not followed" in listening.output


@contextmanager
def nobody_listens() -> Iterator[int]:
    """Yield a port that refuses connections, and that nobody else is given meanwhile."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def test_a_receiver_that_is_down_stops_nothing(api: Served, capsys: pytest.CaptureFixture[str]) -> None:
    with nobody_listens() as port, Listening(f"localhost:{port}/webhook") as listening:
        main(["trigger", "payment.succeeded"])
        main(["trigger", "payment.failed"])
        triggered = re.findall(r"\[(evt_\w+)\]", capsys.readouterr().out)
        assert len(triggered) == 2
        refused = [f"[ERROR] POST http://localhost:{port}/webhook [{event}]" for event in triggered]
        wait_until(lambda: all(each in listening.output for each in refused), "two refused connections")
    assert f"Does your server run at localhost:{port}?" in listening.output


def test_without_a_url_events_are_only_shown(api: Served) -> None:
    with receiver() as local, Listening() as listening:
        main(["trigger", "payment.failed"])
        wait_until(lambda: "--> payment.failed" in listening.output, "the event")
    assert not local.requests
    assert "whsec_" not in listening.output
