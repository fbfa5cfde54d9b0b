"""What must hold once a storm is over: API, ledger, processor, events, webhooks and balances tell one story."""

import base64
import hashlib
import hmac
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg.rows import dict_row

from tests.proof.clients import Shop
from tests.proof.history import Entry, History, Json, Verdict, now
from tests.proof.linearizability import explain
from tests.proof.world import World
from tests.service.processors.stripe_standin import StripeStandin
from tests.service.receivers import Receiver

#: Events of which a payment has one at most.
_ONCE = ("payment.authorized", "payment.succeeded", "payment.failed", "payment.canceled")


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A broken promise, and the payment that it was broken to, if it is one."""

    promise: str
    what: str
    payment_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What the processor has really done for a payment, in minor units."""

    captured: int
    refunded: int
    #: How often a charge was made for it.
    charges: int


@dataclass(kw_only=True)
class Outcome:
    """Everything that is compared."""

    world: World
    shops: Sequence[Shop]
    histories: Sequence[History]
    receivers: Sequence[tuple[Receiver, str]]
    #: By payment.
    truths: dict[str, Truth]
    payments: dict[str, Json] = field(default_factory=dict)

    def read(self) -> None:
        """Read every payment through the API, as the last look of its client."""
        invoked = now()
        for shop in self.shops:
            self.payments |= {payment["id"]: payment for payment in shop.ask_all("/v1/payments?")}
        for history in self.histories:
            if history.payment_id in self.payments:
                body = self.payments[history.payment_id]
                history.add(
                    Entry(
                        kind="look",
                        invoked=invoked,
                        returned=now(),
                        verdict=Verdict.SEEN,
                        status=200,
                        arguments={},
                        body=body,
                    )
                )


def check(outcome: Outcome) -> list[Broken]:
    """Return every broken promise."""
    outcome.read()
    checks = (_clients, _one_truth, _linearizable, _settled, _processor, _events, _webhooks, _balances, _verified)
    return [found for one in checks for found in one(outcome)]


def _clients(outcome: Outcome) -> Iterator[Broken]:
    for history in outcome.histories:
        for what in history.broken:
            yield Broken(promise="clients", what=what, payment_id=history.payment_id)


def _one_truth(outcome: Outcome) -> Iterator[Broken]:
    """Each key is replayed to the byte, and made one payment."""
    for history in outcome.histories:
        shop = outcome.shops[history.merchant]
        for entry in history.entries:
            if entry.verdict is not Verdict.FINAL or not entry.key:
                continue
            headers = {**shop.key.headers, "Idempotency-Key": entry.key}
            again = shop.send("POST", shop.urls[0], entry.path, json=entry.arguments, headers=headers)
            if (again.status_code, again.text) != (entry.status, entry.text):
                what = f"replay of {entry.kind} under {entry.key}: {again.status_code} {again.text[:300]}"
                yield Broken(promise="one truth per key", what=what, payment_id=history.payment_id)
    made = Counter(payment["reference"] for payment in outcome.payments.values())
    for history in outcome.histories:
        if made[history.name] > 1:
            what = f"{made[history.name]} payments under one key"
            yield Broken(promise="one truth per key", what=what, payment_id=history.payment_id)
        if history.payment_id and not made[history.name]:
            yield Broken(promise="one truth per key", what="the payment is gone", payment_id=history.payment_id)


def _linearizable(outcome: Outcome) -> Iterator[Broken]:
    for history in outcome.histories:
        if history.payment_id and explain(history.entries) is None:
            yield Broken(promise="linearizability", what="no order explains the answers", payment_id=history.payment_id)


def _settled(outcome: Outcome) -> Iterator[Broken]:
    for payment in outcome.payments.values():
        if payment["status"] == "processing" or payment["pending_operation"] or payment["amount_refund_pending"]:
            yield Broken(promise="nothing stays open", what=json.dumps(payment), payment_id=payment["id"])


def _processor(outcome: Outcome) -> Iterator[Broken]:
    nothing = Truth(captured=0, refunded=0, charges=0)
    for payment_id, truth in outcome.truths.items():
        payment = outcome.payments.get(payment_id)
        said = (payment["amount_captured"], payment["amount_refunded"]) if payment else None
        if said != (truth.captured, truth.refunded) or truth.charges > 1:
            what = f"the processor did {truth}, we say {said}"
            yield Broken(promise="the processor agrees", what=what, payment_id=payment_id)
    for payment in outcome.payments.values():
        if payment["amount_captured"] and outcome.truths.get(payment["id"], nothing).captured == 0:
            yield Broken(promise="the processor agrees", what="captured nothing", payment_id=payment["id"])


def _events(outcome: Outcome) -> Iterator[Broken]:
    """Numbered without gaps, each transition once, and the last one shows the payment as it is."""
    by_payment: dict[str, list[Json]] = defaultdict(list)
    for shop in outcome.shops:
        for event in shop.ask_all("/v1/events?"):
            by_payment[event["payment"]].append(event)
    for payment in outcome.payments.values():
        events = sorted(by_payment[payment["id"]], key=lambda event: int(event["sequence"]))
        for what in _wrong_events(payment, events):
            yield Broken(promise="events", what=what, payment_id=payment["id"])


def _wrong_events(payment: Json, events: Sequence[Json]) -> Iterator[str]:
    sequence = [event["sequence"] for event in events]
    if sequence != list(range(1, len(events) + 1)):
        yield f"sequence {sequence}"
    types = Counter(event["type"] for event in events)
    for once in _ONCE:
        if types[once] > 1:
            yield f"{types[once]} times {once}"
    states = [event["data"]["object"] for event in events if event["type"].startswith("payment.")]
    if not states or states[-1]["status"] != payment["status"]:
        yield f"the last event does not say {payment['status']}"
    refunded = sum(event["data"]["object"]["amount"] for event in events if event["type"] == "refund.succeeded")
    if refunded != payment["amount_refunded"]:
        yield f"events refund {refunded}, the payment says {payment['amount_refunded']}"
    if states and states[-1]["amount_captured"] != payment["amount_captured"]:
        yield f"the last event does not say that {payment['amount_captured']} was captured"


def _webhooks(outcome: Outcome) -> Iterator[Broken]:
    """Every event arrived at every endpoint, signed, and never with two bodies."""
    for shop, (receiver, secret) in zip(outcome.shops, outcome.receivers, strict=True):
        expected = {event["id"]: event for event in shop.ask_all("/v1/events?")}
        bodies: dict[str, set[bytes]] = defaultdict(set)
        for request in list(receiver.requests):
            message_id = request.headers["webhook-id"]
            bodies[message_id].add(request.body)
            if not is_signed(secret, request.headers, request.body):
                yield Broken(promise="webhooks", what=f"bad signature of {message_id}")
        for event_id, event in expected.items():
            found = bodies.pop(event_id, set())
            if len(found) != 1 or json.loads(next(iter(found))) != event:
                what = f"{event['type']} {event_id} arrived with {len(found)} bodies: {found}"
                yield Broken(promise="webhooks", what=what, payment_id=event["payment"])
        for message_id in bodies:
            yield Broken(promise="webhooks", what=f"{message_id} is no event")


def is_signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Verify by the Standard Webhooks specification, not by our own code."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return expected in headers["webhook-signature"].split()


def _balances(outcome: Outcome) -> Iterator[Broken]:
    """Balances are the sum of the entries, debits equal credits, and the receivable is what the processor took."""
    for shop in outcome.shops:
        listed = shop.ask("/v1/balances")["data"]
        balances = {item["account"]: item["balance"] for item in listed}
        sums: Counter[str] = Counter()
        for entry in shop.ask_all("/v1/ledger/entries?"):
            sums[entry["debit_account"]] += entry["amount"]
            sums[entry["credit_account"]] -= entry["amount"]
        shown = {item["account"]: item["debits"] - item["credits"] for item in listed}
        if shown != dict(sums):
            yield Broken(promise="balances", what=f"balances {shown}, entries {dict(sums)}")
        own = {p["id"] for history in outcome.histories if history.merchant == shop.number
               for p in [outcome.payments.get(history.payment_id)] if p}  # fmt: skip
        taken = sum(truth.captured - truth.refunded for pid, truth in outcome.truths.items() if pid in own)
        if balances.get("processor_receivable", 0) != taken:
            what = f"the processor owes {taken}, the receivable is {balances.get('processor_receivable', 0)}"
            yield Broken(promise="balances", what=what)


def _verified(outcome: Outcome) -> Iterator[Broken]:
    """`payments ledger verify` finds nothing, and every head that a worker logged is in the chain."""
    heads = list(logged_heads(outcome.world))
    done = outcome.world.payments_command("ledger", "verify", *(("--head", heads[-1]) if heads else ()))
    if done.returncode:
        yield Broken(promise="ledger verify", what=done.stdout + done.stderr)
    with psycopg.connect(outcome.world.postgres.superuser) as connection:
        chain = {bytes(row[0]).hex() for row in connection.execute("SELECT hash FROM ledger_seals")}
    if lost := set(heads) - chain:
        yield Broken(promise="ledger verify", what=f"heads {lost} were logged and are not in the chain")
    stuck = outcome.world.payments_command("stuck")
    if stuck.returncode:
        yield Broken(promise="nothing stays open", what=f"payments stuck: {stuck.stdout}{stuck.stderr}")


def logged_heads(world: World) -> Iterator[str]:
    """Yield the heads in the workers' logs."""
    for worker in world.workers:
        for line in worker.log.read_text(errors="replace").splitlines():
            if '"ledger sealed"' in line:
                yield str(json.loads(line)["head"])


def sandbox_truths(world: World) -> dict[str, Truth]:
    """Return what the sandbox's journal says, by payment. The journal knows attempts, so it is joined to them."""
    with psycopg.connect(world.postgres.superuser, row_factory=dict_row) as connection:
        rows = connection.execute(
            """
            SELECT coalesce(a.payment_id, 'attempt ' || j.attempt_id) AS payment_id, j.kind, j.amount,
                CASE WHEN j.outcome = 'pending' THEN j.settles_as ELSE j.outcome END AS outcome, p.capture_method
            FROM sandbox_journal j LEFT JOIN attempts a ON a.id = j.attempt_id
            LEFT JOIN payments p ON p.id = a.payment_id
            """
        ).fetchall()
    return {payment: _sandbox_truth(list(found)) for payment, found in _grouped(rows).items()}


def _grouped(rows: Iterable[Json]) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = defaultdict(list)
    for row in rows:
        found[row["payment_id"]].append(row)
    return found


def _sandbox_truth(rows: Sequence[Json]) -> Truth:
    done = [row for row in rows if row["outcome"] == "approved"]
    charges = [row for row in done if row["kind"] == "payment"]
    taken = charges if rows[0]["capture_method"] == "automatic" else [r for r in done if r["kind"] == "capture"]
    return Truth(
        captured=sum(row["amount"] for row in taken),
        refunded=sum(row["amount"] for row in done if row["kind"] == "refund"),
        charges=len(charges),
    )


def stripe_truths(standin: StripeStandin) -> dict[str, Truth]:
    """Return what Stripe's stand-in says, by the payment in its metadata."""
    found: dict[str, Truth] = {}
    for intent in list(standin.intents.values()):
        payment_id = intent["metadata"]["payment_id"]
        refunds = [r for r in standin.refunds.values() if r["payment_intent"] == intent["id"]]
        before = found.get(payment_id, Truth(captured=0, refunded=0, charges=0))
        is_charge = intent["status"] in ("succeeded", "requires_capture")
        found[payment_id] = Truth(
            captured=before.captured + intent["amount_received"],
            refunded=before.refunded + sum(r["amount"] for r in refunds if r["status"] == "succeeded"),
            charges=before.charges + is_charge,
        )
    return found
