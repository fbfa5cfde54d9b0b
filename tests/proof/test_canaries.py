"""No secret and no card number stays anywhere: canaries go through every input and error path; then all is searched."""

import re
import socket
import ssl
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import requests
from psycopg import sql
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from tests.proof.profile import profile
from tests.service.fixtures import ApiKey, Postgres
from tests.service.receivers import Receiver, receiver
from tests.service.server.processes import Started, environment, is_healthy, start
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]

PAYMENT = {"amount": 1000, "currency": "EUR", "payment_method": "tok_visa"}
#: What the processes are given to keep.
STRIPE_KEY = "sk_test_canaryprocessorkey0123456789"
STRIPE_SECRET = "whsec_canaryprocessorsecret0123456789"
HEADERS = (
    "Idempotency-Key", "User-Agent", "Cookie", "Referer", "X-Card", "Accept", "Content-Type", "Stripe-Signature",
)  # fmt: skip
#: Where a signing secret has to be: messages are signed with it.
KEPT = {("webhook_endpoints", "secret"), ("webhook_endpoints", "previous_secret")}


@dataclass
class Attack:
    """Sends canaries, and remembers them and every response."""

    url: str
    key: ApiKey
    #: Card numbers, which stay nowhere, and secrets, which stay only where they must.
    cards: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    #: The merchant's own texts, which are stored, and never logged.
    texts: list[str] = field(default_factory=list)
    responses: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.random = profile().random("canaries")
        self.session = requests.Session()
        # The server closes connections, such as those of bodies that it did not read to their end.
        again = Retry(total=5, backoff_factor=0.2, allowed_methods=None, respect_retry_after_header=False)
        self.session.mount("https://", HTTPAdapter(max_retries=again))

    def card(self) -> str:
        """Return a card number that was not sent before, in one of the ways in which people write it."""
        body = "4" + "".join(self.random.choices("0123456789", k=14))
        total = sum(sum(divmod(int(digit) * (2 - position % 2), 10)) for position, digit in enumerate(reversed(body)))
        number = body + str(-total % 10)
        self.cards.append(number)
        separator = self.random.choice(["", "", " ", "-"])
        return separator.join(number[i : i + 4] for i in range(0, 16, 4))

    def text(self) -> str:
        self.texts.append(f"canary{self.random.getrandbits(64):016x}")
        return self.texts[-1]

    def secret(self, value: str) -> str:
        self.secrets.append(value)
        return value

    def send(self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any) -> requests.Response:
        sent = {**self.key.headers, "Idempotency-Key": uuid.uuid4().hex, **(headers or {})}
        response = self.session.request(
            method, self.url + path, headers=sent, verify=False, timeout=60, allow_redirects=False, **more
        )
        self.responses.append(f"{response.headers}\n{response.text}")
        self.statuses.add(response.status_code)
        return response

    def raw(self, data: bytes, *, tls: bool = True) -> None:
        """Send bytes as they are, and read what comes."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        port = int(self.url.rpartition(":")[2])
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        with context.wrap_socket(plain) if tls else plain as connection:
            try:
                connection.sendall(data)
                self.responses.append(connection.recv(65_536).decode(errors="replace"))
            except OSError:
                pass  # closed without an answer, which tells nothing


def attack_operation(attack: Attack, method: str, path: str) -> None:
    """Put card numbers into every place of a request."""
    attack.send("PUT", path, headers={"X-Card": attack.card()})
    known = re.sub(r"\{\w+\}", lambda _: f"pay_{'0' * 26}", path)
    if "{" in path:
        attack.send(method, re.sub(r"\{\w+\}", lambda _: quote(attack.card()), path), json={})
    attack.send(method, known, params={"reference": attack.card()}, json={})
    attack.send(method, known, params={attack.card(): "x"}, json={})
    attack.send(method, f"{known}/{quote(attack.card())}", json={})
    for name in HEADERS:
        attack.send(method, known, headers={name: attack.card()}, json={})
    attack.send(method, known, headers={"Authorization": f"Bearer {attack.card()}"}, json={})
    if method in ("POST", "PATCH"):
        for body in (
            {**PAYMENT, "description": attack.card()},
            {**PAYMENT, "payment_method": attack.card()},
            {**PAYMENT, "metadata": {"note": attack.card()}},
            {**PAYMENT, "metadata": {attack.card(): "x"}},
            {attack.card(): {"deep": [attack.card()]}},
            {"name": attack.card(), "scopes": [attack.card()]},
            {"url": f"https://shop.example/{quote(attack.card())}"},
            attack.card(),
        ):
            attack.send(method, known, json=body)
        for data in (
            f'{{"description": "{attack.card()}"',
            f'{{"description": "{attack.card()}", "a": 1, "a": 2}}',
            f'{{"a": {attack.card()}}}',
            f'{{"a": "{attack.card()}' + " " * 70_000,
            "[" * 20 + attack.card(),
            f"decision={attack.card()}",
        ):
            attack.send(method, known, data=data, headers={"Content-Type": "application/json"})
            attack.send(method, known, data=data, headers={"Content-Type": "application/x-www-form-urlencoded"})


def attack_connection(attack: Attack) -> None:
    """Put card numbers where there is no request yet."""
    for shape in (
        "{0} / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /{0} HTTP/9.{0}\r\nHost: a\r\n\r\n",
        "GET /v1/payments?{0} HTTP/1.1\r\nHost: {0}\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\n{0}\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nX-{0}: \x01{0}\r\n\r\n",
        "POST /v1/payments HTTP/1.1\r\nHost: a\r\nContent-Length: {0}\r\n\r\n",
        "POST /v1/payments HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {0}\r\n\r\n",
        "POST /v1/payments HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{0}\r\n",
        "GET /{0}" + "a" * 20_000,
    ):
        attack.raw(shape.format(attack.card().replace(" ", "")).encode())
    attack.raw(f"GET /{attack.card()} HTTP/1.1\r\n\r\n".encode(), tls=False)


def use_secrets(attack: Attack, receiver_url: str) -> None:
    """Create, rotate and revoke every kind of secret; send wrong ones."""
    attack.secrets += [attack.key.token, STRIPE_KEY, STRIPE_SECRET, "app-password"]
    made = attack.send("POST", "/v1/api_keys", json={"name": attack.text(), "scopes": ["payments:read"]}).json()
    rotated = attack.send("POST", f"/v1/api_keys/{made['id']}/rotate", json={}).json()
    hook = attack.send("POST", "/v1/webhook_endpoints", json={"url": receiver_url + "/" + attack.text()}).json()
    again = attack.send("POST", f"/v1/webhook_endpoints/{hook['id']}/rotate_secret", json={}).json()
    attack.responses.clear()  # the one time that a secret is shown
    attack.secrets += [made["secret"], rotated["secret"], hook["secret"], again["secret"]]
    attack.secrets += [hook["secret"].removeprefix("whsec_"), made["secret"].rpartition("_")[2]]
    for scheme in ("Bearer ", "Basic ", "", "Bearer  ", "bearer\t"):
        wrong = attack.secret(f"sk_test_{uuid.uuid4().hex}_{uuid.uuid4().hex}{uuid.uuid4().hex}")
        attack.send("GET", "/v1/payments", headers={"Authorization": scheme + wrong})
        attack.send("GET", f"/v1/payments/{wrong}", params={"api_key": wrong}, headers={"Authorization": scheme})
    attack.send("POST", f"/v1/api_keys/{made['id']}/revoke", json={})
    attack.send("GET", "/v1/payments", headers={"Authorization": f"Bearer {made['secret']}"})
    for token in ("tok_visa", "tok_declined", "tok_lost_approved", "tok_3ds", attack.secret(STRIPE_KEY)):
        body = {**PAYMENT, "payment_method": token, "description": attack.text(), "metadata": {"note": attack.text()}}
        attack.send("POST", "/v1/payments", json=body)


def terminate_backends(admin: psycopg.Connection) -> int:
    """End every connection to the payments' database, and return how many there were."""
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'payments'"
    return len(admin.execute(query).fetchall())


def attack_failures(attack: Attack, postgres: Postgres) -> None:
    """Let the database refuse, quote rows, and go away, while canaries are under way."""
    body = {**PAYMENT, "description": attack.text(), "reference": attack.text()}
    with psycopg.connect(postgres.superuser, autocommit=True) as admin:
        admin.execute("ALTER TABLE payments ADD CONSTRAINT canary CHECK (amount <> 1000) NOT VALID")
        attack.send("POST", "/v1/payments", json=body)  # "DETAIL: Failing row contains ..."
        admin.execute("ALTER TABLE payments DROP CONSTRAINT canary")
        admin.execute("REVOKE INSERT ON payments FROM payments_service")
        attack.send("POST", "/v1/payments", json=body)
        admin.execute("GRANT INSERT ON payments TO payments_service")
    server = psycopg.conninfo.make_conninfo(postgres.superuser, dbname="postgres")
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute("ALTER DATABASE payments ALLOW_CONNECTIONS false")
        try:
            # Terminated backends end in their own time, and one of them might still take a payment.
            wait_until(lambda: not terminate_backends(admin), "the end of the database's connections")
            attack.send("POST", "/v1/payments", json=body)
            attack.send("POST", "/v1/payments", json={**PAYMENT, "description": attack.card()})
            attack.send("GET", f"/v1/payments/{attack.card()}")
        finally:
            admin.execute("ALTER DATABASE payments ALLOW_CONNECTIONS true")


def rows(postgres: Postgres) -> Iterator[tuple[str, str, str]]:
    """Yield every value of the database as (table, column, text)."""
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
            " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        ).fetchall()
        assert len(columns) > 100
        for table, column in columns:
            query = sql.SQL("SELECT {}::text FROM {}").format(sql.Identifier(column), sql.Identifier(table))
            for (value,) in connection.execute(query):
                yield table, column, value or ""


def found(canaries: list[str], text: str) -> list[str]:
    """Return which canaries ``text`` contains: as they are, with separators, percent-encoded, or as bytes in hex."""
    joined = re.sub(r"(?<=[0-9])(?:[ -]|%20|\\+)(?=[0-9])", "", text)
    return [canary for canary in canaries if canary in text or canary in joined or canary.encode().hex() in text]


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    with receiver() as running:
        running.statuses = [500, 200]
        yield running


@pytest.fixture
def processes(postgres: Postgres, tmp_path: Path) -> Iterator[list[Started]]:
    """The api and the worker, as talkative as they can be. Nothing of theirs leaves this machine."""
    given = {
        "LOG_LEVEL": "DEBUG",
        "ALLOW_LOCAL_WEBHOOKS": "true",
        "STRIPE_API_KEY": STRIPE_KEY,
        "STRIPE_WEBHOOK_SECRET": STRIPE_SECRET,
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    variables = environment(postgres, tmp_path, **given)
    running = [start(command, variables, tmp_path) for command in ("api", "worker")]
    try:
        wait_until(lambda: all(is_healthy(started) for started in running), "the processes' health checks", timeout=240)
        yield running
    finally:
        for started in running:
            started.stop()


def test_nothing_secret_stays(processes: list[Started], hooks: Receiver, postgres: Postgres, key: ApiKey) -> None:
    """Neither in logs, rows, events, webhooks, metrics (which are log lines), nor in a response."""
    attack = Attack(processes[0].url, key)
    use_secrets(attack, hooks.url)
    document = attack.send("GET", "/openapi.json").json()
    for _ in range(profile().examples(1)):
        for path, item in document["paths"].items():
            for method in item:
                attack_operation(attack, method.upper(), path)
        attack_connection(attack)
    attack_failures(attack, postgres)
    wait_until(lambda: attack.send("GET", "/readyz").status_code == 200, "the database's return")
    wait_until(lambda: len(hooks.requests) >= 5, "webhooks")
    for started in processes:
        started.stop()

    assert len(attack.cards) > 500
    assert {200, 201, 202, 400, 401, 402, 404, 405, 413, 415, 422, 500, 503} <= attack.statuses
    logs = "\n".join(started.log.read_text() for started in processes)
    assert "database not available" in logs
    assert "unexpected error" in logs
    assert found([*attack.cards, *attack.secrets, *attack.texts], logs) == []
    bodies = "\n".join(f"{request.headers} {request.body!r}" for request in hooks.requests)
    assert found([*attack.cards, *attack.secrets], bodies) == []
    assert found([*attack.cards, *attack.secrets], "\n".join(attack.responses)) == []
    texts: dict[tuple[str, str], list[str]] = {}
    for table, column, value in rows(postgres):
        texts.setdefault((table, column), []).append(value)
    for place, values in texts.items():
        canaries = attack.cards if place in KEPT else [*attack.cards, *attack.secrets]
        assert found(canaries, "\n".join(values)) == [], place
    assert found(attack.texts, "\n".join(texts["payments", "description"])), "the search finds what is there"
