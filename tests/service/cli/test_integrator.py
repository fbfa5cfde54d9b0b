"""`payments listen` and `payments trigger` where something is wrong; what works is in tests/docs/test_guide_runs.py."""

import http.server
import io
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from payments.cli.main import main
from payments.client.listen import forward_url, signing_secret
from payments.client.terminal import Colour, Terminal
from payments.client.trigger import NOT_TRIGGERED, RECIPES
from payments.domain.events import EventType
from tests.service.receivers import certificate

KEY = "sk_test_abc_0123456789"


@dataclass
class Api:
    """Something that answers over HTTPS as a test says; the last answer is repeated."""

    url: str
    folder: Path
    answers: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def say(self, status: int, body: object = "", **headers: str) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, text))

    def list(self, *event_ids: str, next_cursor: str | None = None) -> None:
        """Answer a page of events, newest first."""
        data = [
            {"id": each, "type": "payment.failed", "payment": "pay_1", "sequence": 1, "object": "event"}
            for each in event_ids
        ]
        page = {"object": "list", "data": data, "has_more": next_cursor is not None, "next_cursor": next_cursor}
        self.say(200, page)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """An API, and an environment that names it."""
    tls, _ = certificate(tmp_path, "localhost")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.requests.append(self.path)
            status, headers, body = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # handshakes that fail are what some tests are about

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found = Api(url=f"https://localhost:{server.server_address[1]}", folder=tmp_path)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    monkeypatch.setenv("PAYMENTS_URL", found.url)
    monkeypatch.setenv("PAYMENTS_API_KEY", KEY)
    monkeypatch.setenv("PAYMENTS_CA_FILE", str(tmp_path / "localhost.pem"))
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """How long it sleeps, which takes no time; somebody presses Ctrl-C at the tenth time."""
    found: list[float] = []

    def sleep(seconds: float) -> None:
        found.append(seconds)
        if len(found) == 10:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGTERM)
    # Its own name for the module: other threads of this process go on sleeping.
    monkeypatch.setattr("payments.client.listen.time", SimpleNamespace(sleep=sleep, time=time.time))
    yield found
    signal.signal(signal.SIGTERM, before)


def refused(capsys: pytest.CaptureFixture[str], *said: str, command: str = "listen") -> None:
    """Assert that the command fails with one line, which says so, and does not repeat the key."""
    assert main(["trigger", "payment.failed"] if command == "trigger" else [command]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"payments {command}: ")
    assert len(error.splitlines()) == 1
    for text in said:
        assert text in error
    assert KEY not in error


# ---- which API, and as whom ----------------------------------------
#: Changes to an environment that works, and what is said of each.
CAUSES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "no url": ({"PAYMENTS_URL": ""}, ("set PAYMENTS_URL.", "make serve")),
    "no key": ({"PAYMENTS_API_KEY": ""}, ("set PAYMENTS_API_KEY.",)),
    "nothing": ({"PAYMENTS_URL": "", "PAYMENTS_API_KEY": ""}, ("set PAYMENTS_URL and PAYMENTS_API_KEY.",)),
    "live": ({"PAYMENTS_API_KEY": "sk_live_abc"}, ("is a live key", "test mode only", "sk_test_")),
    "restricted live": ({"PAYMENTS_API_KEY": "rk_live_abc"}, ("is a live key",)),
    "another key": ({"PAYMENTS_API_KEY": "whsec_abc"}, ("must be a test key",)),
    "key with a newline": ({"PAYMENTS_API_KEY": f"{KEY}\n"}, ("must be a test key",)),
    "http": ({"PAYMENTS_URL": "http://localhost:1"}, ("https://HOST",)),
    "no scheme": ({"PAYMENTS_URL": "localhost:1"}, ("https://HOST",)),
    "a file": ({"PAYMENTS_URL": "file:///etc/passwd"}, ("https://HOST",)),
    "port": ({"PAYMENTS_URL": "https://localhost:99999"}, ("https://HOST",)),
    "path": ({"PAYMENTS_URL": "https://localhost:1/v1"}, ("must end after the host and port",)),
    "user": ({"PAYMENTS_URL": "https://a:b@localhost:1"}, ("must end after the host and port",)),
    "refused": ({"PAYMENTS_URL": "https://127.0.0.1:1"}, ("cannot be reached: nothing listens there", "PAYMENTS_URL")),
    "name": ({"PAYMENTS_URL": "https://nowhere.invalid"}, ("nowhere.invalid cannot be reached",)),
    "no CA": ({"PAYMENTS_CA_FILE": ""}, ("is not trusted: self-signed certificate", "--ca-file")),
    "missing CA": ({"PAYMENTS_CA_FILE": "/nowhere.pem"}, ("/nowhere.pem (No such file", "--ca-file")),
    "not a CA": ({"PAYMENTS_CA_FILE": __file__}, ("has no certificate in PEM",)),
}


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("command", ["listen", "trigger"])
def test_a_cause_is_named(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cause: str, command: str
) -> None:
    changes, said = CAUSES[cause]
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    refused(capsys, *said, command=command)
    assert not api.requests, "the key was sent"


def test_a_certificate_for_another_name_is_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAYMENTS_URL", api.url.replace("localhost", "127.0.0.1"))
    refused(capsys, "is not trusted: IP address mismatch")
    assert not api.requests


def test_options_come_before_variables(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ca_file = str(api.folder / "localhost.pem")
    monkeypatch.setenv("PAYMENTS_URL", "https://nowhere.invalid")
    monkeypatch.setenv("PAYMENTS_CA_FILE", "/nowhere.pem")
    api.list()
    assert main(["listen", "--url", api.url, "--ca-file", ca_file]) == 0


def test_settings_of_the_service_are_not_its_own(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "any")
    api.list()
    assert main(["listen"]) == 0


# ---- what the API answers ----------------------------------------
PROBLEM = {"code": "scope_missing", "status": 403, "detail": "The key lacks events:read.\x1b[2J"}
ANSWERS: dict[str, tuple[int, object, dict[str, str], tuple[str, ...]]] = {
    "401": (401, {"code": "unauthenticated"}, {}, ("does not accept the key (401)", "expired nor revoked")),
    "403": (403, PROBLEM, {}, ("403", "scope_missing", "The key lacks events:read.?[2J")),
    "404": (404, "<html>", {}, ("is not this API's", "PAYMENTS_URL")),
    "web site": (200, "<html>", {}, ("is not this API's", "PAYMENTS_URL")),
    "redirect": (302, "", {"Location": "/elsewhere"}, ("is not this API's",)),
    "503": (503, "", {}, ("is not available (503)",)),
    "429": (429, "", {"Retry-After": "7"}, ("is not available (429)",)),
    "cut off": (200, "{", {"Content-Length": "9"}, ("cannot be reached", "ended early")),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("command", ["listen", "trigger"])
def test_an_answer_is_explained(api: Api, capsys: pytest.CaptureFixture[str], answer: str, command: str) -> None:
    status, body, headers, said = ANSWERS[answer]
    api.say(status, body, **headers)
    refused(capsys, *said, command=command)
    assert len(api.requests) == 1, "a redirect was followed with the key"


def test_another_json_is_not_the_api(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.say(200, {"hello": "world"})
    refused(capsys, "not a list of events")


def test_an_unexpected_outcome_is_told(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """As where the processor is not the sandbox, or the network loses the answer."""
    api.say(422, {"code": "validation_failed", "detail": "Unknown payment method."})
    refused(capsys, "422", "validation_failed Unknown payment method.", command="trigger")
    api.answers.clear()
    api.say(201, {"id": "pay_1", "status": "succeeded"})
    refused(capsys, "201", "succeeded", command="trigger")


# ---- while it listens ----------------------------------------
def test_an_outage_is_told_once_and_nothing_is_missed(
    api: Api, capsys: pytest.CaptureFixture[str], sleeps: list[float]
) -> None:
    api.list("evt_1")
    api.say(503, "", Retry_After="60")
    api.say(502, "<html>")
    api.list("evt_3", "evt_2", "evt_1")
    api.list("evt_3", "evt_2", "evt_1")
    assert main(["listen"]) == 0
    said = [line.partition("  ")[2].strip() for line in capsys.readouterr().out.splitlines()]
    assert said[1:] == [
        "the API is not available (503). Trying again until it is back ...",
        "--> payment.failed [evt_2] pay_1 #1",
        "--> payment.failed [evt_3] pay_1 #1",
        "The API is back.",
        "",
    ]
    assert sleeps[:4] == [1, 60, 30, 1], "as Retry-After asks, then as it is used to"


def test_a_key_that_is_revoked_ends_it(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.list()
    api.say(401, {"code": "unauthenticated"})
    refused(capsys, "does not accept the key")


def test_it_reads_back_over_pages_to_the_event_it_knows(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.list("evt_1")
    api.list("evt_4", "evt_3", next_cursor="c-2")
    api.list("evt_2", "evt_1", next_cursor="c-3")
    api.list("evt_4")
    assert main(["listen"]) == 0
    shown = [line.split("[")[1][:5] for line in capsys.readouterr().out.splitlines() if "-->" in line]
    assert shown == ["evt_2", "evt_3", "evt_4"]
    assert api.requests[:4] == [
        "/v1/events?limit=1",
        "/v1/events?limit=100",
        "/v1/events?limit=100&cursor=c-2",
        "/v1/events?limit=100",
    ]


def test_the_first_event_of_all_is_shown(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.list()
    api.list("evt_1")
    assert main(["listen"]) == 0
    assert capsys.readouterr().out.count("[evt_1]") == 1


# ---- where to, and with which secret ----------------------------------------
def test_only_this_machine_gets_events(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    for url in ("localhost:1/a", "http://127.0.0.1:1", "http://[::1]:1/", "https://localhost:1/x?y=z", "127.9.9.9:1"):
        assert forward_url(url).endswith(url)
    for url in ("https://shop.example/hook", "http://10.0.0.1", "0.0.0.0:1", "localhost.example:1", "http://", "ftp:x",
                "http://localhost@shop.example", "http://a:b@localhost"):  # fmt: skip
        assert main(["listen", "--forward-to", url]) == 2
        assert "on this machine" in (said := capsys.readouterr().err)
        assert "POST /v1/webhook_endpoints" in said
    assert not api.requests


def test_the_secret_is_the_same_for_the_same_key() -> None:
    assert signing_secret(KEY) == signing_secret(KEY) != signing_secret(KEY + "1")
    assert len(signing_secret(KEY)) == len("whsec_") + 44


# ---- what can be triggered ----------------------------------------
def test_every_event_can_be_triggered_or_has_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert {*RECIPES, *NOT_TRIGGERED} == set(EventType)
    assert not RECIPES.keys() & NOT_TRIGGERED.keys()
    with pytest.raises(SystemExit) as ended:
        main(["trigger", "--help"])
    assert ended.value.code == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    listed = [words[0] for words in lines if words and words[0] in set(EventType)]
    assert listed == [*RECIPES, *NOT_TRIGGERED]


@pytest.mark.parametrize(
    ("event", "said"), [("payment.captured", "takes one of payment.processing, "), ("dispute.created", "has no bank")]
)
def test_no_other_event(event: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["trigger", event])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


# ---- colours ----------------------------------------
class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "coloured"),
    [
        (Tty(), {"TERM": "xterm"}, True),
        (Tty(), {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Tty(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Tty(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colours_are_for_terminals(stream: io.StringIO, environ: dict[str, str], coloured: Any) -> None:
    terminal = Terminal(stream, environ)
    terminal.line(terminal.paint("paid", Colour.GOOD))
    assert stream.getvalue() == ("\x1b[32mpaid\x1b[0m\n" if coloured else "paid\n")


def test_a_port_that_says_nothing_http_is_named(
    monkeypatch: pytest.MonkeyPatch, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1024)
                client.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        monkeypatch.setenv("PAYMENTS_URL", f"https://localhost:{port}")
        refused(capsys, "cannot be reached")
        thread.join()
