"""A brown-out of the processor: what needs it is answered in time, what does not is not held up, and all heals."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import requests
import urllib3

from tests.proof.checker import Outcome, check, stripe_truths
from tests.proof.clients import GIVES_UP, STRIPE, Crowd, Shop
from tests.proof.profile import profile
from tests.proof.quiet import wait_until_quiet
from tests.proof.world import world
from tests.service.fixtures import make_key
from tests.service.processors.stripe_rules import Refused
from tests.service.processors.stripe_standin import API_KEY, WEBHOOK_SECRET, StripeStandin, stripe_standin
from tests.service.receivers import Receiver, receiver
from tests.waiting import wait_until

pytestmark = [pytest.mark.rehearsal, pytest.mark.takes_minutes]

#: Seconds that a client waits for an answer: `docs/api.md` says 30, and a busy machine may add as much.
_ANSWERED = 60.0
#: What `docs/api.md` says that requests about payments are answered, whatever the processor does.
_ANSWERS = {200, 201, 202, 402, 404, 409, 422, 429, 503}
#: Seconds that a client gives what needs no processor, and the median of what it then takes, on a busy machine.
_PATIENCE, _PROMPT = 15.0, 2.0
#: Requests that an api serves at once: three quarters of them at the processor.
_PLACES = 24
#: Clients all the time, and those that come in addition during the silence: together more than may be at the processor.
_CLIENTS, _RUSH = 5, 15
#: Reads that these clients have in progress at once: with the requests of `Watch`, fewer than the places that are kept
#: from the processor. After a stall of the machine, all clients would read at once, and be refused rightly.
_READS = 2
#: Seconds of each phase. The silence is longer than the processor's deadline.
_SLOW, _ERRORS, _SILENCE = 2.0, 3.0, profile().seconds(13.0)


@pytest.fixture(autouse=True)
def _self_signed() -> None:
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


@dataclass
class BrownOut(StripeStandin):
    """Stripe's stand-in, in difficulties that the test decides about."""

    phase: str = "well"
    draw: random.Random = field(default_factory=lambda: profile().random("brown-out"))

    def next_fault(self, name: str) -> str | Refused:
        super().next_fault(name)
        if self.phase == "slow":
            time.sleep(0.5 + self.draw.random())
        if self.phase == "errors":
            return self.draw.choice(["", "", "", "before", "lost", "500", "500-after", "429", "html"])
        if self.phase == "silence":
            fault = self.draw.choice(["hang", "drip", "drip-head", "never"])
            if fault != "never":
                return fault
            self.released.wait(60)  # it has not even begun
            return "before"
        return ""

    def heal(self) -> None:
        self.phase = "well"
        self.released.set()


@dataclass(frozen=True)
class Answered:
    """How a request was answered: ``status`` 0 if it was not."""

    at: float
    what: str
    status: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class PatientShop(Shop):
    """A merchant that waits as long as any answer may take, notes how long it took, and obeys `Retry-After`."""

    answers: list[Answered] = field(default_factory=list)
    reads: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_READS))

    def send(self, method: str, url: str, path: str, **more: Any) -> requests.Response:
        with self.reads if method == "GET" else nullcontext():
            at = time.monotonic()
            try:
                response = self.session.request(method, url + path, timeout=_ANSWERED, allow_redirects=False, **more)
            except requests.RequestException:
                self.answers.append(Answered(at, f"{method} {path}", 0, time.monotonic() - at))
                raise
        self.answers.append(Answered(at, f"{method} {path}", response.status_code, time.monotonic() - at))
        if response.status_code in (429, 503):
            time.sleep(2 + int(response.headers["Retry-After"]))  # at least; more would only burn this machine
        return response


class Watch:
    """Asks for what needs no processor, again and again."""

    def __init__(self, shop: Shop, found: Receiver, event: str) -> None:
        self._shop, self._receiver, self._event = shop, found, event
        self._stop = threading.Event()
        self.answers: list[Answered] = []
        looks = ("/healthz", "/readyz", "/v1/payments?limit=3", "/v1/balances")
        self._threads = [threading.Thread(target=self._repeat, args=(self._look, path)) for path in looks]
        self._threads.append(threading.Thread(target=self._repeat, args=(self._redeliver, "redelivery")))

    def __enter__(self) -> "Watch":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, ask: Any, what: str) -> None:
        with requests.Session() as session:
            session.verify, session.trust_env = False, False
            count = 0
            while not self._stop.wait(0.2):
                at, status = time.monotonic(), 0
                try:
                    status = ask(session, what, count)
                except (requests.RequestException, AssertionError):
                    status = 0
                self.answers.append(Answered(at, what, status, time.monotonic() - at))
                count += 1

    def _look(self, session: requests.Session, path: str, _: int) -> int:
        url = self._shop.urls[0] + path
        return session.get(url, headers=self._shop.key.headers, timeout=_PATIENCE).status_code

    def _redeliver(self, session: requests.Session, _: str, count: int) -> int:
        """Have an event sent again: its way from request to receiver is the worker's, without any processor."""
        before = self._arrivals()
        response = session.post(
            f"{self._shop.urls[0]}/v1/events/{self._event}/redeliver",
            headers={**self._shop.key.headers, "Idempotency-Key": f"again-{count}"},
            json={},
            timeout=_PATIENCE,
        )
        if response.status_code == 202:
            wait_until(lambda: self._arrivals() > before, "the webhook", timeout=_PATIENCE)
        return 200 if response.status_code == 202 else response.status_code

    def _arrivals(self) -> int:
        return sum(1 for request in list(self._receiver.requests) if request.headers["webhook-id"] == self._event)


@contextmanager
def rush(shop: Shop, seed: str) -> Iterator[Crowd]:
    """Let many more clients in; they finish after the block."""
    crowd = Crowd([shop], seed=seed, threads=_RUSH)
    crowd.start()
    yield crowd


def test_a_brown_out_ends_without_a_trace(tmp_path: Path) -> None:
    standin = BrownOut()
    with ExitStack() as stack:
        stack.enter_context(stripe_standin(standin))
        settings = {
            "PROCESSOR": "stripe",
            "STRIPE_API_KEY": API_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "STORM_STRIPE": standin.url,
            "MAX_IN_FLIGHT": str(_PLACES),
        }
        made = stack.enter_context(world(tmp_path, **settings))
        shop = PatientShop(
            number=0,
            key=make_key(made.postgres, "mer_shop"),
            urls=made.urls()[:1],
            methods=STRIPE,
            multicapture=False,
            gives_up=_SILENCE + GIVES_UP,
        )
        found = stack.enter_context(receiver())
        secret = _subscribe(shop, found)
        stack.callback(standin.heal)
        processes = [victim.pid for victim in made.victims]

        crowd = Crowd([shop], seed="steady", threads=_CLIENTS)
        crowd.start()
        wait_until(lambda: found.requests, "a first event while all is well")
        with Watch(shop, found, found.requests[0].headers["webhook-id"]) as watch:
            for standin.phase, seconds in (("slow", _SLOW), ("errors", _ERRORS)):
                time.sleep(seconds)
            standin.phase, silence = "silence", time.monotonic()
            with rush(shop, "rush") as more:
                time.sleep(_SILENCE)
            healed = time.monotonic()
            standin.heal()
            wait_until(lambda: _first_success(shop, healed) > 0, "the circuit to close")
            crowd.finish()
            more.finish()
        wait_until_quiet(made, revive=False)
        quiet = time.monotonic()

        answers = shop.answers
        print(  # noqa: T201 - `make proof` shows it
            f"brown-out: {len(crowd.histories) + len(more.histories)} payments, {len(answers)} requests"
            f" {dict(Counter(a.status for a in answers))}, slowest {max(a.seconds for a in answers):.1f} s;"
            f" watched {len(watch.answers)}: {_slowest(watch)};"
            f" circuit closed after {_first_success(shop, healed) - healed:.1f} s, quiet after {quiet - healed:.1f} s"
        )
        undocumented = [a for a in answers if a.status not in _ANSWERS]
        assert undocumented == [], "every request has a documented answer in time"
        late = [a for a in watch.answers if a.status != 200]
        assert late == [], "what needs no processor is served"
        slow = {what: median(a.seconds for a in watch.answers if a.what == what) for what in _slowest(watch)}
        assert all(seconds < _PROMPT for seconds in slow.values()), slow
        assert any(a.status == 503 for a in answers if silence < a.at < healed), "the circuit opened"
        assert [victim.pid for victim in made.victims] == processes, "nothing was restarted"
        assert {victim.is_running() for victim in made.victims} == {True}
        outcome = Outcome(
            world=made,
            shops=[shop],
            histories=[*crowd.histories, *more.histories],
            receivers=[(found, secret)],
            truths=stripe_truths(standin),
        )
        assert check(outcome) == []


def _slowest(watch: Watch) -> dict[str, float]:
    slowest: dict[str, float] = {}
    for answer in watch.answers:
        slowest[answer.what] = max(slowest.get(answer.what, 0.0), round(answer.seconds, 2))
    return slowest


def _subscribe(shop: Shop, found: Receiver) -> str:
    headers = {**shop.key.headers, "Idempotency-Key": "endpoint"}
    body = {"url": found.url, "event_types": ["*"]}
    response = shop.send("POST", shop.urls[0], "/v1/webhook_endpoints", json=body, headers=headers)
    assert response.status_code == 201, response.text
    return str(response.json()["secret"])


def _first_success(shop: PatientShop, since: float) -> float:
    """Return when the first payment succeeded that was asked for after `since`, 0 if none has."""
    found = (a.at for a in list(shop.answers) if a.what == "POST /v1/payments" and a.status == 201)
    return min((at for at in found if at > since), default=0.0)
