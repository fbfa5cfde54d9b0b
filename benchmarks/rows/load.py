"""Rows of load on the api: other requests, many merchants, idle connections, and an open loop."""

import hashlib
import ssl
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.client import HTTPSConnection

from benchmarks.blocks import rates
from benchmarks.loads import Script
from benchmarks.report import latency_table, ratio_table, subject_table
from benchmarks.rows.row import Row
from benchmarks.service import call
from benchmarks.stand import Stand
from rehearsal.host.sockets import LOOPBACK

_PAYMENT = {"amount": 1250, "currency": "USD", "payment_method": "tok_visa", "capture_method": "automatic"}
_MERCHANTS = 1_000
_IDLE_CONNECTIONS = 150
#: Of the highest rate of the closed loop.
_SHARE = 0.5
_CONNECTIONS_OF_AN_OPEN_LOOP = 64


def requests(stand: Stand) -> object:
    """Measure operations, reads and lists."""
    for _ in range(20):
        call(stand.api, "POST", "/v1/payments", _PAYMENT, key=str(uuid.uuid4()))
    page = call(stand.api, "GET", "/v1/payments?limit=20")
    data = page["data"]
    payments = tuple(str(payment["id"]) for payment in data) if isinstance(data, list) else ()
    blocks = stand.interleave(
        [
            stand.api_subject("authorize+capture+refund", "capture_and_refund"),
            stand.api_subject("read a payment", "read", payments=payments),
            stand.api_subject("list 20 payments", "list"),
        ]
    )
    stand.console.print(subject_table("Other requests", blocks))
    return blocks


def merchants(stand: Stand) -> object:
    """Measure one merchant with all the load next to a thousand who share it."""
    secret = "m" * 43
    keys = [f"sk_test_m{number}_{secret}" for number in range(_MERCHANTS)]
    hashes = [hashlib.sha256(key.encode()).digest() for key in keys]
    stand.server.execute(
        stand.service.database,
        "INSERT INTO merchants (id, name) SELECT 'mer_m' || n, 'Merchant ' || n FROM generate_series(0, %s) n"
        " ON CONFLICT DO NOTHING",
        [_MERCHANTS - 1],
    )
    stand.server.execute(
        stand.service.database,
        "INSERT INTO api_keys (id, merchant_id, livemode, name, secret_hash, scopes, api_version)"
        " SELECT 'key_m' || n - 1, 'mer_m' || n - 1, false, 'Bench', hash, own.scopes, own.api_version"
        " FROM unnest(%s::bytea[]) WITH ORDINALITY AS k (hash, n), api_keys own WHERE own.id = 'key_bench'"
        " ON CONFLICT DO NOTHING",
        [hashes],
    )
    hot, spread = "one hot merchant", f"{_MERCHANTS} merchants"
    blocks = stand.interleave([stand.api_subject(hot), stand.api_subject(spread, keys=tuple(keys))])
    stand.console.print(subject_table("Payments by merchants", blocks))
    stand.console.print(ratio_table(hot, (spread,), blocks))
    return blocks


def idle_connections(stand: Stand) -> object:
    """Measure payments next to TLS connections that do nothing."""
    alone, beside = "no idle connections", f"{_IDLE_CONNECTIONS} idle connections"
    blocks = stand.interleave(
        [
            stand.api_subject(alone),
            replace(stand.api_subject(beside), around=lambda: _idle(stand.api.port, _IDLE_CONNECTIONS)),
        ]
    )
    stand.console.print(subject_table("Payments beside idle TLS connections", blocks))
    stand.console.print(ratio_table(beside, (alone,), blocks))
    return blocks


@contextmanager
def _idle(port: int, number: int) -> Iterator[None]:
    """Hold connections that have each made one request: a real client has used its connection before it rests."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with ExitStack() as stack:
        for _ in range(number):
            connection = HTTPSConnection(LOOPBACK, port, context=context)
            stack.callback(connection.close)
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        yield


def open_loop(stand: Stand) -> object:
    """Measure latencies at half of the highest rate, from the intended start; C1 gets the same rate."""
    calibration = stand.interleave([stand.api_subject("closed loop")], rounds=1)
    rate = rates(calibration)["closed loop"].median * _SHARE
    api = stand.api_subject("api", rate=rate, connections=_CONNECTIONS_OF_AN_OPEN_LOOP)
    c1 = stand.denominator("C1 functions", Script(name="c1"), rate=rate)
    blocks = stand.interleave([api, c1])
    stand.console.print(latency_table(f"Latency at {rate:.0f} payments/s, from the intended start", "api", blocks))
    return {"rate": rate, "blocks": blocks}


ROWS = (
    Row(name="open", title="latency in an open loop at half of the highest rate", run=open_loop),
    Row(name="requests", title="operations, reads and lists", run=requests),
    Row(name="merchants", title="one hot merchant, and a thousand", run=merchants),
    Row(name="idle_connections", title="150 idle TLS connections beside the load", run=idle_connections),
)
