"""Whatever clients, customers and the worker do, in any order: the real api process answers as the model predicts.

After each step, everything that a merchant can see is compared with the model, all rows are audited, and a request
that is refused has changed nothing. A failure is shrunk by Hypothesis to its shortest story.
"""

import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
import urllib3
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from payments.repositories.database import Database
from payments.services import recovery
from payments.services.context import Context
from tests.proof.api_process import api_process
from tests.proof.audit import audit
from tests.proof.model import TOKENS, Json, Operation, Payment, Request
from tests.proof.profile import profile
from tests.proof.refusal_story import RefusalStory
from tests.proof.settings_story import Settings, SettingsStory
from tests.proof.shop import Answer, Shop, fingerprint, matches
from tests.service.api import sandbox_context
from tests.service.fixtures import Postgres, make_key

pytestmark = pytest.mark.rehearsal

#: Stories in the short profile, and their steps.
STORIES, STEPS = 6, 25
PICK = st.integers(0, 7)
PARTS = st.sampled_from(["all", "none given", "one", "third", "half", "too much"])
EXTRAS = st.fixed_dictionaries(
    {},
    optional={
        "reference": st.sampled_from(["order-1", "Bestellung ü", "💶"]),
        "description": st.sampled_from(["A book", "ein Buch\nzwei Zeilen"]),
        "metadata": st.dictionaries(st.sampled_from(["a", "ключ", "🔑"]), st.sampled_from(["", "1", "名"]), max_size=2),
        "return_url": st.just("https://shop.example/thanks?order=1"),
    },
)


@dataclass(frozen=True, kw_only=True)
class World:
    """What every story takes place in."""

    url: str
    postgres: Postgres
    #: As a superuser.
    database: psycopg.Connection[Any]
    context: Context


class Story(RefusalStory, SettingsStory, RuleBasedStateMachine):
    """Two merchants, their customers, and the worker."""

    world: World

    @initialize()
    def open_shops(self) -> None:
        self.database = self.world.database
        session = requests.Session()
        self.shops = []
        for _ in range(2):
            key = make_key(self.world.postgres, f"mer_{uuid.uuid4().hex[:12]}")
            self.shops.append(Shop(url=self.world.url, merchant=key.merchant_id, token=key.token, session=session))
        self.settings_of = [Settings(), Settings()]
        self.context, self.postgres = self.world.context, self.world.postgres
        self.changed: Payment | None = None

    def teardown(self) -> None:
        if hasattr(self, "shops"):
            for shop in self.shops:
                shop.compare(limit=3)
            audit(self.database, self.merchants)
            self._sql("UPDATE attempts SET next_look_at = now() + interval '1 year' WHERE merchant_id = ANY(%s)")
            self._sql("UPDATE payments SET expires_at = NULL WHERE merchant_id = ANY(%s)")
            self._sql("UPDATE webhook_messages SET status = 'failed', settled_at = now() WHERE merchant_id = ANY(%s)")

    def _sql(self, statement: str) -> list[tuple[Any, ...]]:
        cursor = self.database.execute(statement, [list(self.merchants)] if "%s" in statement else None)
        return cursor.fetchall() if cursor.description else []

    def _pick(self, pick: int, wanted: Callable[[Payment], bool] = lambda _: True) -> tuple[Shop, Payment] | None:
        """Pick one of the payments of all shops that is ``wanted``."""
        found = [(shop, payment) for shop in self.shops for payment in shop.payments if wanted(payment)]
        return found[-1 - pick % len(found)] if found else None

    # ---- clients ----------------------------------------
    @rule(
        number=st.sampled_from([0, 0, 1]),
        token=st.sampled_from(TOKENS),
        amount=st.sampled_from([1, 17, 50, 1000, 1999, 10**12 - 1]),
        currency=st.sampled_from(["EUR", "JPY", "BHD"]),
        manual=st.booleans(),
        extras=EXTRAS,
    )
    def create(self, number: int, token: str, amount: int, currency: str, manual: bool, extras: Json) -> None:
        shop = self.shops[number]
        body = {"amount": amount, "currency": currency, "payment_method": token, **extras}
        if manual or token.startswith(("tok_capture", "tok_void")):
            body["capture_method"] = "manual"
        request = Request(path="/v1/payments", body=body, key=uuid.uuid4().hex)
        payment = Payment(fields=body, request=request)
        request.subject = payment
        answer = shop.post(request.path, body, key=request.key)
        payment.id = (answer.body["payment"] if answer.status == 402 else answer.body)["id"]
        status = payment.create()
        shop.payments.append(payment)
        self._check(shop, request, payment, answer, status)
        if status == 201 and payment.status == "requires_action":
            url = urllib.parse.urlsplit(answer.body["next_action"]["redirect_to_url"]["url"])
            payment.page = url.path

    @rule(pick=PICK, kind=st.sampled_from(["capture", "void", "refund"]), part=PARTS, final=st.booleans())
    def operate(self, pick: int, kind: str, part: str, final: bool) -> None:
        if (picked := self._pick(pick)) is None:
            return
        shop, payment = picked
        limit = {"capture": payment.capturable, "void": payment.capturable, "refund": payment.refundable}[kind]
        parts = {"all": limit, "one": 1, "third": limit // 3, "half": limit // 2, "too much": limit + 1}
        amount = None if kind == "void" or part == "none given" else max(1, parts[part])
        body: Json = {} if amount is None else {"amount": amount}
        if kind == "capture" and not final:
            body["final"] = False
        if kind == "refund" and final:
            body["reason"] = "gift"
        path = f"/v1/payments/{payment.id}/{'refunds' if kind == 'refund' else kind}"
        request = Request(path=path, body=body, key=uuid.uuid4().hex)
        refusal = payment.refusal(kind, amount)
        if refusal is not None:
            answer = self.refuse(refusal, lambda: shop.post(path, body, key=request.key))
            if refusal == 409 and answer.code == "illegal_transition":
                assert answer.body["state"] == payment.status
            return
        operation = Operation(
            kind=kind,
            amount=limit if amount is None else amount,
            final=final or kind != "capture",
            request=request,
            reason=body.get("reason"),
        )
        request.subject = operation
        answer = shop.post(path, body, key=request.key)
        status = payment.start(operation)
        if kind == "refund":
            shown = answer.body["refund"] if answer.status == 402 else answer.body
            operation.id = shown["id"]
            matches(shown, payment.refund_view(operation))
        self._check(shop, request, payment, answer, status)

    def _check(self, shop: Shop, request: Request, payment: Payment, answer: Answer, status: int) -> None:
        """Check the answer to a request that was not refused, and remember both."""
        assert answer.status == status, answer.text
        assert not answer.replayed
        if answer.status == 402:
            assert answer.code == "payment_failed"
            shop.check_payment(answer.body["payment"], payment)
        elif answer.body["object"] == "payment":
            shop.check_payment(answer.body, payment)
        shop.note(payment)
        shop.requests.append((request, answer))
        self.changed = payment

    @rule(number=st.sampled_from([0, 1]), limit=st.integers(1, 4), pick=PICK)
    def read_lists(self, number: int, limit: int, pick: int) -> None:
        """Lists are complete and in order, whatever the size of pages, and filters select."""
        shop = self.shops[number]
        shop.compare(limit=limit)
        if not shop.payments:
            return
        chosen = shop.payments[-1 - pick % len(shop.payments)]
        shop.compare_details(chosen, limit=limit)
        same = [payment.id for payment in reversed(shop.payments) if payment.status == chosen.status]
        found = shop.everything("/v1/payments", limit=limit, status=chosen.status)
        assert [item["id"] for item in found] == same
        if reference := chosen.fields.get("reference"):
            same = [item.id for item in reversed(shop.payments) if item.fields.get("reference") == reference]
            found = shop.everything("/v1/payments", limit=limit, reference=reference)
            assert [item["id"] for item in found] == same

    # ---- customers, the worker, and time ----------------------------------------
    @rule(pick=PICK, approve=st.booleans())
    def click(self, pick: int, approve: bool) -> None:
        """The customer decides, once, on the 3-D Secure page."""
        if (picked := self._pick(pick, lambda payment: bool(payment.page))) is None:
            return
        shop, payment = picked
        before = fingerprint(self.database, self.merchants)
        response = shop.session.post(
            shop.url + payment.page,
            data={"decision": "approve" if approve else "refuse"},
            verify=False,
            allow_redirects=False,
            timeout=30,
        )
        if payment.status == "requires_action":
            assert response.status_code == (303 if payment.fields.get("return_url") else 200)
            payment.decide(approve=approve)
            shop.note(payment)
            self.changed = payment
        else:
            assert response.status_code < 500
            assert fingerprint(self.database, self.merchants) == before

    @rule(pick=PICK, pending_too=st.booleans())
    def settle(self, pick: int, pending_too: bool) -> None:
        """The worker asks about everything that is open of a payment."""
        if (
            picked := self._pick(
                pick,
                lambda payment: (
                    bool(payment.view()["pending_operation"] or payment.open)
                    or any(op.open for op in payment.operations)
                ),
            )
        ) is None:
            return
        shop, payment = picked
        self._work(payment, pending_too=pending_too)
        payment.settle(pending_too=pending_too)
        shop.note(payment)
        self.changed = payment

    @rule(pick=PICK)
    def expire(self, pick: int) -> None:
        """The customer's time to act is over, or the authorization's."""
        waits = ("requires_action", "requires_capture", "partially_captured")
        if (picked := self._pick(pick, lambda item: item.status in waits and not item.pending)) is None:
            return
        shop, payment = picked
        self.database.execute("UPDATE payments SET expires_at = now() WHERE id = %s", [payment.id])
        recovery.void_expired_authorizations(self.world.context)
        for _ in range(2):  # the void is sent, then looked up if its response was lost
            self._work(payment, pending_too=False)
        payment.expire()
        payment.settle(pending_too=False)
        self.database.execute(
            "UPDATE payments SET expires_at = now() + interval '7 days' WHERE id = %s AND expires_at IS NOT NULL",
            [payment.id],
        )
        shop.note(payment)
        self.changed = payment

    def _work(self, payment: Payment, *, pending_too: bool) -> None:
        later = "now()" if pending_too else "now() + interval '1 hour'"
        self.database.execute(
            f"UPDATE sandbox_journal SET settles_at = {later} WHERE settles_at IS NOT NULL AND attempt_id IN"
            " (SELECT id FROM attempts WHERE payment_id = %s)",
            [payment.id],
        )
        attempts = self.database.execute(
            "SELECT id FROM attempts WHERE payment_id = %s AND status = 'open' ORDER BY id", [payment.id]
        ).fetchall()
        for (attempt,) in attempts:
            recovery.claim_and_settle(self.world.context, attempt)

    # ---- after each step ----------------------------------------
    @invariant()
    def all_agrees(self) -> None:
        if not hasattr(self, "shops"):
            return
        audit(self.database, self.merchants)
        for shop in self.shops:
            if self.changed in shop.payments:
                shop.compare()
                shop.compare_details(self.changed)
        self.changed = None


@pytest.fixture
def world(postgres: Postgres, database: Database, journal: Database, tmp_path: Path) -> Iterator[World]:
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    superuser = psycopg.connect(postgres.superuser, autocommit=True)
    with superuser as connection, api_process(postgres, tmp_path) as url:
        context = sandbox_context(database, journal)
        yield World(url=url, postgres=postgres, database=connection, context=context)


@pytest.mark.takes_minutes
def test_stories(world: World) -> None:
    class Told(Story):
        pass

    Told.world = world
    run_state_machine_as_test(
        seed(profile().seed)(Told),
        settings=settings(
            max_examples=profile().examples(STORIES),
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=False,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
