"""The storm: whatever is killed, frozen, cut or slowed, every key has one truth, and all books agree about it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from tests.proof.checker import Broken, Outcome, Truth, check, sandbox_truths, stripe_truths
from tests.proof.clients import SANDBOX, STRIPE, Crowd, Shop
from tests.proof.faults import Fault, Storm, plan
from tests.proof.profile import profile
from tests.proof.quiet import wait_until_quiet
from tests.proof.world import World, world
from tests.service.fixtures import make_key
from tests.service.processors.stripe_standin import API_KEY, WEBHOOK_SECRET, StripeStandin, stripe_standin
from tests.service.receivers import Receiver, receiver

pytestmark = [pytest.mark.rehearsal, pytest.mark.takes_minutes]

#: Seconds of one storm in the short profile. A longer attack is a row of storms of `_ROUND` seconds, each checked.
_SHORT = 15.0
_ROUND = 60.0
_SHOPS = 2
_CLIENTS = 14
#: Broken promises whose story is told.
_STORIES = 3
#: What happens to calls of Stripe, and how often: see `stripe_standin`.
_STRIPE_FAULTS = {"": 20, "before": 1, "lost": 3, "500": 1, "500-after": 2, "429": 1}


@pytest.fixture(autouse=True)
def _self_signed() -> None:
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


@dataclass(frozen=True, kw_only=True)
class Pretend:
    """A processor whose own books tell what it did, and the variables that lead to it."""

    methods: dict[str, int]
    multicapture: bool
    truths: Callable[[World], dict[str, Truth]]
    environment: Mapping[str, str]
    #: Makes it fail from now on, and no longer.
    faults: Callable[[str], None] = lambda _: None
    heal: Callable[[], None] = lambda: None


@contextmanager
def processor(name: str) -> Iterator[Pretend]:
    """Make a processor available."""
    if name == "sandbox":
        yield Pretend(methods=SANDBOX, multicapture=True, truths=sandbox_truths, environment={})
        return
    with stripe_standin() as standin:
        yield Pretend(
            methods=STRIPE,
            multicapture=False,
            truths=lambda _: stripe_truths(standin),
            environment={
                "PROCESSOR": "stripe",
                "STRIPE_API_KEY": API_KEY,
                "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
                "STORM_STRIPE": standin.url,
            },
            faults=lambda seed: _fail(standin, seed),
            heal=standin.faults.clear,
        )


def _fail(standin: StripeStandin, seed: str) -> None:
    draw = profile().random(f"stripe {seed}")
    for call in ("create", "confirm", "capture", "cancel", "retrieve", "refund", "list_refunds"):
        standin.faults[call] = draw.choices(list(_STRIPE_FAULTS), list(_STRIPE_FAULTS.values()), k=2000)


@pytest.mark.parametrize("name", ["sandbox", "stripe"])
def test_every_key_has_one_truth_after_a_storm(name: str, tmp_path: Path) -> None:
    left, number = profile().seconds(_SHORT), 0
    while left > 0:
        seconds = min(left, _ROUND)
        seed = f"{profile().seed} {name} {number}"
        faults = plan(seed, seconds)
        with processor(name) as pretend:
            result = weather(pretend, seed, faults, seconds, tmp_path / str(number))
        print(result.summary)  # noqa: T201 - `make proof` shows it
        if result.broken:
            pytest.fail(f"{result.summary}\n{result.told}", pytrace=False)
        left, number = left - seconds, number + 1


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a storm broke, and how to read it."""

    broken: Sequence[Broken]
    summary: str
    told: str


def weather(pretend: Pretend, seed: str, faults: Sequence[Fault], seconds: float, folder: Path) -> Result:
    """Let clients work through a storm, wait until all is quiet, and compare all books."""
    with ExitStack() as stack:
        made = stack.enter_context(world(folder, **pretend.environment))
        shops = [_shop(made, pretend, number) for number in range(_SHOPS)]
        receivers = [(stack.enter_context(receiver()), shop) for shop in shops]
        endpoints = [(found, _subscribe(shop, found)) for found, shop in receivers]
        pretend.faults(seed)
        crowd = Crowd(shops, seed=seed, threads=_CLIENTS)
        storm = Storm(made, faults)
        crowd.start()
        storm.run()
        pretend.heal()
        crowd.finish()
        wait_until_quiet(made)
        outcome = Outcome(
            world=made,
            shops=shops,
            histories=crowd.histories,
            receivers=endpoints,
            truths=pretend.truths(made),
        )
        broken = [*check(outcome), *(Broken(promise="faults", what=error) for error in storm.errors)]
        done = Counter(f"{fault.target.split('-')[0]} {fault.action}" for fault in faults)
        summary = (
            f"storm {seed!r}: {len(crowd.histories)} payments,"
            f" {sum(len(history.entries) for history in crowd.histories)} operations and looks,"
            f" {sum(entry.requests for h in crowd.histories for entry in h.entries)} requests,"
            f" {len(faults)} faults in {seconds:g} s ({dict(done)}), {len(broken)} broken promises"
        )
        return Result(broken=broken, summary=summary, told=_tell(outcome, broken, storm, faults))


def _shop(made: World, pretend: Pretend, number: int) -> Shop:
    key = make_key(made.postgres, f"mer_storm{number}")
    return Shop(number=number, key=key, urls=made.urls(), methods=pretend.methods, multicapture=pretend.multicapture)


def _subscribe(shop: Shop, found: Receiver) -> str:
    headers = {**shop.key.headers, "Idempotency-Key": "endpoint"}
    body = {"url": found.url, "event_types": ["*"]}
    response = shop.send("POST", shop.urls[0], "/v1/webhook_endpoints", json=body, headers=headers)
    assert response.status_code == 201, response.text
    return str(response.json()["secret"])


def _tell(outcome: Outcome, broken: Sequence[Broken], storm: Storm, faults: Sequence[Fault]) -> str:
    """Tell the story of the payments that promises were broken to, with the faults during their lives only."""
    parts = [f"{found.promise}: {found.what}" for found in broken[:20]]
    ids = list(dict.fromkeys(found.payment_id for found in broken if found.payment_id))[:_STORIES]
    for history in outcome.histories:
        if history.payment_id not in ids:
            continue
        entries = [entry for entry in history.entries if entry.returned != float("inf")]
        first = min(entry.invoked for entry in entries) - storm.started
        last = max(entry.returned for entry in entries[:-1] or entries) - storm.started
        parts += [history.story(storm.started), "faults meanwhile:"]
        parts += [f"  {fault}" for fault in faults if fault.at <= last and fault.at + fault.seconds >= first - 1]
    return "\n".join(parts)
