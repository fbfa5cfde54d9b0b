"""A race: who meets, and how it may end; and the clients and workers that take part."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.proof.interleaving import Interleaving, Order
from tests.proof.stage import HOOK, Action, Stage, answer_of

#: What the worker answers: it is not compared.
_WORKER = frozenset({"ran", "idle"})


@dataclass(frozen=True, kw_only=True)
class Race:
    """Who meets, and how it may end."""

    before: Callable[[Stage], object]
    actors: Mapping[str, Action]
    #: The answers of all but the worker, in the order of ``actors``, and after them what is seen at last.
    ends: frozenset[str]
    after: Callable[[Stage], object] = Stage.amounts
    #: Whether the actors do the same, so that it does not matter who gets which answer.
    same: bool = False

    def play(self, stage: Stage, interleaving: Interleaving, prefix: Sequence[str]) -> Order:
        """Run one order, let everything settle, and check the end."""
        self.before(stage)
        stage.look_references_up()

        def bind(action: Action) -> Callable[[], str]:
            own = stage.for_actor()
            return lambda: action(own)

        order = interleaving.run({name: bind(action) for name, action in self.actors.items()}, prefix)
        try:
            stage.settle()
            answers = [answer for answer in order.answers.values() if answer not in _WORKER]
            end = " | ".join([*(sorted(answers) if self.same else answers), str(self.after(stage))])
            assert end in self.ends, f"{end!r} is not one of {sorted(self.ends)}"
        except AssertionError as error:
            error.add_note(f"in the order: {order}")
            raise
        stage.leave()
        return order


def race(
    before: Callable[[Stage], object],
    *ends: str,
    after: Callable[[Stage], object] = Stage.amounts,
    same: bool = False,
    **actors: Action,
) -> Race:
    return Race(before=before, actors=actors, ends=frozenset(ends), after=after, same=same)


def twins(before: Callable[[Stage], object], action: Action, *ends: str, **more: Any) -> Race:
    """Two that do the same."""
    return race(before, *ends, one=action, two=action, same=True, **more)


# ---- payments ----------------------------------------
def capture(*, key: str | None = None, **body: Any) -> Action:
    return lambda stage: stage.post(f"/v1/payments/{stage.payment}/capture", body, key=key)


def refund(*, key: str | None = None, **body: Any) -> Action:
    return lambda stage: stage.post(f"/v1/payments/{stage.payment}/refunds", body, key=key)


def void(stage: Stage) -> str:
    return stage.post(f"/v1/payments/{stage.payment}/void")


def decide(decision: str) -> Action:
    """The customer clicks. What a click that comes too late is shown does not matter here."""
    return lambda stage: "seen" if stage.client.http().post(stage.page, data={"decision": decision}) else ""


def create(token: str) -> Action:
    return lambda stage: answer_of(stage.client.create(token, key="same"))


def processor_events(stage: Stage) -> str:
    """The processor tells of its charge and of each refund, and the worker asks."""
    for reference in stage.references:
        stage.processor_event(reference)
    return stage.work()


def authorized(token: str) -> Action:
    return lambda stage: stage.authorize(token)


def paid(token: str) -> Action:
    return lambda stage: stage.pay(token)


def nothing(_: Stage) -> str:
    return ""


def refunded(stage: Stage) -> None:
    stage.pay()
    assert refund(amount=300)(stage) == "201"


def partly_captured(stage: Stage) -> None:
    stage.authorize()
    assert capture(amount=600, final=False)(stage) == "200"


def expired(before: Callable[[Stage], object]) -> Callable[[Stage], object]:
    def prepare(stage: Stage) -> None:
        before(stage)
        stage.sql("UPDATE payments SET expires_at = now() WHERE id = %s", stage.payment)

    return prepare


# ---- webhooks and keys ----------------------------------------
def add_endpoint(stage: Stage) -> str:
    return stage.post("/v1/webhook_endpoints", {"url": HOOK})


def rotate_secret(stage: Stage) -> str:
    return stage.post(f"/v1/webhook_endpoints/{stage.endpoint}/rotate_secret")


def update_endpoint(**changes: Any) -> Action:
    return lambda stage: stage.patch(f"/v1/webhook_endpoints/{stage.endpoint}", changes)


def delete_endpoint(stage: Stage) -> str:
    return stage.delete(f"/v1/webhook_endpoints/{stage.endpoint}")


def redeliver(*, key: str | None = None) -> Action:
    return lambda stage: stage.post(f"/v1/events/{stage.event}/redeliver", key=key)


def new_event(stage: Stage) -> None:
    """There is an event, and an endpoint to deliver it to."""
    stage.add_endpoint()
    payment = stage.pay()
    ((stage.event,),) = stage.sql("SELECT id FROM events WHERE payment_id = %s", payment)


def fanned_out(stage: Stage) -> None:
    new_event(stage)
    stage.fan_out()


def delivered_event(stage: Stage) -> None:
    fanned_out(stage)
    assert stage.deliver() == "ran"


def disabled(before: Callable[[Stage], object]) -> Callable[[Stage], object]:
    def prepare(stage: Stage) -> None:
        before(stage)
        assert update_endpoint(status="disabled")(stage) == "200"

    return prepare


def fifteen_endpoints(stage: Stage) -> None:
    for _ in range(15):
        stage.add_endpoint()


def spare_key(stage: Stage) -> None:
    created = stage.client.post("/v1/api_keys", {"name": "spare", "scopes": ["payments:read"]})
    stage.spare_key = str(stage.client.json(created)["id"])


def rotate_key(stage: Stage) -> str:
    return stage.post(f"/v1/api_keys/{stage.spare_key}/rotate", {"overlap": 0})


def revoke_key(stage: Stage) -> str:
    return stage.post(f"/v1/api_keys/{stage.spare_key}/revoke")
