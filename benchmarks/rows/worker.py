"""Rows of the worker: delivering webhooks, and recovering attempts that nobody settled."""

import time
import uuid
from collections.abc import Callable
from statistics import median

from benchmarks.errors import BenchError
from benchmarks.machine import processor_seconds
from benchmarks.rows.row import Row
from benchmarks.service import MERCHANT, call
from benchmarks.stand import Stand, null_server

_PAYMENT = {"amount": 1250, "currency": "USD", "payment_method": "tok_visa", "capture_method": "automatic"}
_PROMPT_SAMPLES = 20
_ENDPOINTS = 10
_PAUSE_SECONDS = 0.37  # no multiple of the worker's interval
_POLL_SECONDS = 0.1
#: Without progress for so long, a row is given up.
_PATIENCE_SECONDS = 60.0

_ADD_EVENTS = """
    INSERT INTO events (id, merchant_id, livemode, type, payment_id, sequence, api_version, body)
    SELECT 'evt_' || left(replace(uuidv7()::text, '-', ''), 26), merchant_id, livemode, type, payment_id,
        (SELECT max(sequence) FROM events WHERE payment_id = first.payment_id) + n, api_version, body
    FROM events first, generate_series(1, %s) n WHERE payment_id = %s AND sequence = 1
"""
_DELIVERED = "SELECT count(*) FROM webhook_messages WHERE status = 'delivered'"
_DELAYS = """
    SELECT extract(epoch FROM m.settled_at - e.created_at) * 1000
    FROM webhook_messages m JOIN events e ON e.id = m.event_id
    WHERE m.status = 'delivered' ORDER BY e.xid DESC LIMIT %s
"""
#: Payments whose request died after Tx1; the processor has approved each.
_ORPHANS = """
    WITH orphans AS (SELECT n, '01' || lpad(n::text, 24, '0') AS suffix FROM generate_series(1, %(count)s) n),
    paid AS (
        INSERT INTO payments (merchant_id, livemode, id, status, amount, currency, capture_method, payment_method,
            fee_basis_points, processor, api_version, created_at)
        SELECT %(merchant)s, false, 'pay_' || suffix, 'processing', 1250, 'USD', 'automatic', 'tok_visa', 290,
            'sandbox', own.api_version, now() FROM orphans, api_keys own WHERE own.id = 'key_bench'),
    called AS (
        INSERT INTO sandbox_journal (attempt_id, kind, reference, token, amount, currency, outcome, automatic_capture)
        SELECT 'att_' || suffix, 'payment', 'sbx_ch_' || left(md5(suffix), 24), 'tok_visa', 1250, 'USD', 'approved',
            true
        FROM orphans)
    INSERT INTO attempts (id, merchant_id, livemode, payment_id, kind, processor, deadline_at, next_look_at)
    SELECT 'att_' || suffix, %(merchant)s, false, 'pay_' || suffix, 'payment', 'sandbox', now() - interval '1 second',
        now() FROM orphans
"""
_OPEN = "SELECT count(*) FROM attempts WHERE status = 'open'"


def deliveries(stand: Stand) -> object:
    """Measure webhooks a second to one endpoint and to several, and how long a single one takes."""
    with null_server() as port:
        first = _deliver(stand, port, endpoints=1, events=stand.options.deliveries // _ENDPOINTS)
        several = _deliver(stand, port, endpoints=_ENDPOINTS, events=stand.options.deliveries // _ENDPOINTS)
        delays = _prompt(stand, port)
    stand.console.print(
        f"  a single one is delivered {median(delays):.0f} ms after its event (at most {max(delays):.0f})"
    )
    return {"one_endpoint": first, "several": several, "single_ms": sorted(delays)}


def _deliver(stand: Stand, port: int, *, endpoints: int, events: int) -> dict[str, float]:
    payment = _subscribe(stand, port, endpoints)
    before, count = _count(stand, _DELIVERED), events * endpoints
    begun, used = time.monotonic(), processor_seconds(stand.worker.pid)
    stand.server.query(stand.service.database, f"{_ADD_EVENTS} RETURNING 1", [events, payment])
    _wait(stand, _DELIVERED, lambda delivered: delivered >= before + count)
    elapsed, used = time.monotonic() - begun, processor_seconds(stand.worker.pid) - used
    stand.console.print(
        f"  {count} webhooks to {endpoints} endpoint(s): [bold]{count / elapsed:.0f}/s[/], "
        f"{used * 1000 / count:.2f} ms of the worker each"
    )
    return {"deliveries": count, "per_second": count / elapsed, "worker_ms": used * 1000 / count}


def _prompt(stand: Stand, port: int) -> list[float]:
    """Return the milliseconds from event to delivery of webhooks that come one at a time."""
    payment = _subscribe(stand, port, 1)
    before = _count(stand, _DELIVERED)
    for _ in range(_PROMPT_SAMPLES):
        stand.server.query(stand.service.database, f"{_ADD_EVENTS} RETURNING 1", [1, payment])
        time.sleep(_PAUSE_SECONDS)
    _wait(stand, _DELIVERED, lambda delivered: delivered >= before + _PROMPT_SAMPLES)
    return [float(str(row[0])) for row in stand.server.query(stand.service.database, _DELAYS, [_PROMPT_SAMPLES])]


def _subscribe(stand: Stand, port: int, endpoints: int) -> object:
    """Replace all endpoints, and return a payment whose first webhooks have been delivered to the new ones."""
    stand.server.execute(stand.service.database, "UPDATE webhook_endpoints SET deleted_at = now()")
    for number in range(endpoints):
        body = {"url": f"http://127.0.0.1:{port}/{number}", "event_types": ["payment.succeeded"]}
        call(stand.api, "POST", "/v1/webhook_endpoints", body, key=str(uuid.uuid4()))
    before = _count(stand, _DELIVERED)
    payment = call(stand.api, "POST", "/v1/payments", _PAYMENT, key=str(uuid.uuid4()))["id"]
    _wait(stand, _DELIVERED, lambda delivered: delivered >= before + endpoints)
    return payment


def recovery(stand: Stand) -> object:
    """Measure how fast attempts that nobody settled are looked up and settled."""
    count = stand.options.orphans
    stand.server.query(stand.service.database, f"{_ORPHANS} RETURNING 1", {"count": count, "merchant": MERCHANT})
    begun, used = time.monotonic(), processor_seconds(stand.worker.pid)
    _wait(stand, _OPEN, lambda open_attempts: open_attempts == 0)
    elapsed, used = time.monotonic() - begun, processor_seconds(stand.worker.pid) - used
    stand.console.print(
        f"  {count} orphans recovered in {elapsed:.0f} s: [bold]{count / elapsed:.0f}/s[/], "
        f"{used * 1000 / count:.2f} ms of the worker each"
    )
    return {"orphans": count, "seconds": elapsed, "per_second": count / elapsed, "worker_ms": used * 1000 / count}


def _count(stand: Stand, query: str) -> int:
    ((count,),) = stand.server.query(stand.service.database, query)
    return int(str(count))


def _wait(stand: Stand, query: str, enough: Callable[[int], bool]) -> None:
    """Wait while the count goes on changing.

    Raises:
        BenchError: It has stopped.
    """
    last, since = -1, time.monotonic()
    while not enough(count := _count(stand, query)):
        stand.worker.check()
        if count != last:
            last, since = count, time.monotonic()
        if time.monotonic() - since > _PATIENCE_SECONDS:
            raise BenchError(f"no progress for {_PATIENCE_SECONDS:.0f} seconds at {count}: {query}")
        time.sleep(_POLL_SECONDS)


ROWS = (
    Row(name="deliveries", title="webhooks delivered by the worker", run=deliveries),
    Row(name="recovery", title="recovery of attempts that nobody settled (ORPHANS)", run=recovery, by_default=False),
)
