"""Every order of the locked sections: whoever comes first wins, nobody is lost, nothing happens twice."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from payments.repositories import attempts
from payments.repositories.database import Database
from tests.proof.interleaving import Interleaving, Order, orders
from tests.proof.stage import Action, Stage, answer_of
from tests.service.api import Client, sandbox_context
from tests.service.conftest import ApiKey, Postgres

IN_PROGRESS, ILLEGAL, INVALID = "409 operation_in_progress", "409 illegal_transition", "422 validation_failed"


@dataclass(frozen=True, kw_only=True)
class Race:
    """Who meets, and how it may end."""

    before: Callable[[Stage], object]
    actors: Mapping[str, Action]
    #: What is seen once everything is settled.
    after: Callable[[Stage], object] = Stage.amounts
    #: The actors' answers, and what is seen after them. Answers of the worker are left out.
    ends: frozenset[tuple[object, ...]] = frozenset()
    #: Whether the actors do the same, so that it does not matter who gets which answer.
    same: bool = False


def capture(*, key: str | None = None, **body: Any) -> Action:
    return lambda stage: stage.post(f"/v1/payments/{stage.payment}/capture", body, key=key)


def refund(*, key: str | None = None, **body: Any) -> Action:
    return lambda stage: stage.post(f"/v1/payments/{stage.payment}/refunds", body, key=key)


def void(stage: Stage) -> str:
    return stage.post(f"/v1/payments/{stage.payment}/void")


def ends(*found: tuple[object, ...]) -> frozenset[tuple[object, ...]]:
    return frozenset(found)


def decide(decision: str) -> Action:
    return lambda stage: answer_of(stage.client.http().post(stage.page, data={"decision": decision}))


def same(token: str) -> Action:
    return lambda stage: answer_of(stage.client.create(token, key="same"))


def webhook(stage: Stage) -> str:
    """The processor tells of its charge, and of each refund."""
    for reference in stage.references:
        stage.processor_event(reference)
    return stage.work()


def refunded(stage: Stage) -> None:
    stage.pay()
    assert refund(amount=300)(stage) == "201"


def partly_captured(stage: Stage) -> None:
    stage.authorize()
    assert capture(amount=600, final=False)(stage) == "200"


def expired(before: Action) -> Action:
    def prepare(stage: Stage) -> None:
        before(stage)
        stage.expire_authorization()
    return prepare


RACES: dict[str, Race] = {
    "capture, capture": Race(before=Stage.authorize, actors={"one": capture(), "two": capture()}, same=True),
    "parts": Race(before=Stage.authorize, actors={"one": capture(amount=600, final=False), "two": capture(amount=400, final=False)}),
    "capture, void": Race(before=Stage.authorize, actors={"capture": capture(), "void": void}),
    "part, void": Race(before=Stage.authorize, actors={"capture": capture(amount=600, final=False), "void": void}),
    "void, void": Race(before=Stage.authorize, actors={"one": void, "two": void}, same=True),
    "capture, refund": Race(before=Stage.authorize, actors={"capture": capture(), "refund": refund()}),
    "part, refund": Race(before=partly_captured, actors={"capture": capture(), "refund": refund()}),
    "refund, refund": Race(before=Stage.pay, actors={"one": refund(amount=600), "two": refund(amount=600)}, same=True),
    "refund, rest": Race(before=Stage.pay, actors={"one": refund(amount=600), "two": refund()}),
    "three refunds": Race(before=Stage.pay, actors={n: refund(amount=400) for n in ("one", "two", "three")}, same=True),
    "lost capture, worker": Race(before=lambda s: s.authorize("tok_capture_lost"), actors={"capture": capture(), "worker": Stage.work}),
    "capture, worker": Race(before=Stage.authorize, actors={"capture": capture(), "worker": Stage.work}),
    "refused capture, worker": Race(before=lambda s: s.authorize("tok_capture_declined"), actors={"capture": capture(), "worker": Stage.work}),
    "void, worker": Race(before=Stage.authorize, actors={"void": void, "worker": Stage.work}),
    "refund, worker": Race(before=Stage.pay, actors={"refund": refund(), "worker": Stage.work}),
    "create, worker": Race(before=lambda s: None, actors={"create": same("tok_visa"), "worker": Stage.work}, after=Stage.payments),
    "create, create": Race(before=lambda s: None, actors={"one": same("tok_visa"), "two": same("tok_visa")}, after=Stage.payments, same=True),
    "create 402, create 402": Race(before=lambda s: None, actors={"one": same("tok_declined"), "two": same("tok_declined")}, after=Stage.payments, same=True),
    "workers": Race(before=lambda s: s.pay("tok_lost_approved"), actors={"one": Stage.work_now, "two": Stage.work_now}, same=True),
    "refund twice": Race(before=Stage.pay, actors={"one": refund(key="same", amount=600), "two": refund(key="same", amount=600)}, same=True),
    "webhook, capture": Race(before=Stage.authorize, actors={"capture": capture(), "webhook": webhook}),
    "webhook, refund": Race(before=refunded, actors={"refund": refund(), "webhook": webhook}),
    "webhook, webhook": Race(before=refunded, actors={"one": webhook, "two": webhook}, same=True),
    "expiry, capture": Race(before=expired(Stage.authorize), actors={"capture": capture(), "expiry": Stage.void_expired}),
    "expiry, part": Race(before=expired(Stage.authorize), actors={"capture": capture(amount=600, final=False), "expiry": Stage.void_expired}),
    "expiry, void": Race(before=expired(Stage.authorize), actors={"void": void, "expiry": Stage.void_expired}),
    "expiry, refund": Race(before=expired(partly_captured), actors={"refund": refund(), "expiry": Stage.void_expired}),
    "expiry, expiry": Race(before=expired(Stage.authorize), actors={"one": Stage.void_expired, "two": Stage.void_expired}, same=True),
    "clicks": Race(before=lambda s: s.pay("tok_3ds"), actors={"one": decide("approve"), "two": decide("approve")}, same=True),
    "approve, refuse": Race(before=lambda s: s.pay("tok_3ds"), actors={"approve": decide("approve"), "refuse": decide("refuse")}),
    "approve, void": Race(before=lambda s: s.pay("tok_3ds"), actors={"approve": decide("approve"), "void": void}),
    "refuse, void": Race(before=lambda s: s.pay("tok_3ds"), actors={"refuse": decide("refuse"), "void": void}),
    "approve, expiry": Race(before=expired(lambda s: s.pay("tok_3ds")), actors={"approve": decide("approve"), "worker": Stage.work_now}),
}


@pytest.fixture(scope="module")
def pools(migrated: Postgres) -> Iterator[tuple[Database, Database]]:
    """Pools whose connections wait for locks for as long as an order may take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGOPTIONS", "-c lock_timeout=60s -c statement_timeout=60s")
        found = Database(migrated.app, size=8), Database(migrated.app, size=8, name="payments-sandbox")
    yield found
    for pool in found:
        pool.close()


@pytest.mark.parametrize("name", RACES)
def test_race(
    name: str, pools: tuple[Database, Database], postgres: Postgres, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = RACES[name]
    # The worker may come at any time: as if every request took as long as its deadline allows.
    monkeypatch.setattr(attempts, "PROCESSOR_DEADLINE", timedelta(0))
    client = Client(sandbox_context(*pools), key)
    seen: dict[tuple[object, ...], Order] = {}
    with psycopg.connect(postgres.superuser, autocommit=True) as observer:
        interleaving = Interleaving(observer)
        with interleaving.installed():
            try:
                n = sum(1 for _ in orders(lambda prefix: play(race, Stage.make(postgres, observer, client), interleaving, prefix)))
            finally:
                print("==", name, SEEN.get(id(race)))
        print("  ", n, "orders")


SEEN={}
def play(race: Race, stage: Stage, interleaving: Interleaving, prefix: Sequence[str]) -> Order:
    race.before(stage)
    stage.look_references_up()
    works = {name: lambda action=action: action(stage) for name, action in race.actors.items()}
    order = interleaving.run(works, prefix)
    try:
        stage.settle()
        given = [answer for answer in order.answers.values() if answer not in ("ran", "idle")]
        end = (*(sorted(given) if race.same else given), race.after(stage))
        if end not in SEEN.setdefault(id(race), {}): SEEN[id(race)][end]=0
        SEEN[id(race)][end] += 1
    except AssertionError as error:
        error.add_note(f"in the order: {order}")
        raise
    return order
