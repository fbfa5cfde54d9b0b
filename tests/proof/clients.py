"""Clients that never give a key up: each repeats its request, to any api, until it has the final answer."""

import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from tests.proof.history import NEVER, Entry, History, Json, Verdict, now
from tests.service.fixtures import ApiKey

#: Seconds. Shorter than the api may take, so that clients often ask again while the first request is at work.
_TIMEOUT = (2.0, 4.0)
#: Seconds after which a key has its final answer, unless its processor is silent: beyond the lease of a key.
GIVES_UP = 150.0
_IN_PROGRESS = {"request_in_progress", "operation_in_progress"}
_FINAL = {200, 201, 402}
_RETRIED = {202, 429, 500, 503}
_REFUSED = {404, 409, 422}

#: What payments are made with, and how often.
SANDBOX = {
    "tok_visa": 8, "tok_declined": 1, "tok_insufficient_funds": 1, "tok_3ds": 4, "tok_lost_approved": 3,
    "tok_lost_declined": 1, "tok_pending_approved": 2, "tok_pending_declined": 1, "tok_processor_error": 1,
    "tok_capture_declined": 1, "tok_capture_expired": 1, "tok_capture_lost": 2, "tok_void_declined": 1,
    "tok_void_lost": 1, "tok_refund_declined": 1, "tok_refund_lost": 2, "tok_refund_pending": 2,
}  # fmt: skip
STRIPE = {"pm_card_visa": 8, "pm_card_chargeDeclined": 1, "pm_card_chargeDeclinedInsufficientFunds": 1}


def _session() -> requests.Session:
    """Return connections that the clients of a shop share: handshakes would cost more than the requests."""
    session = requests.Session()
    session.verify = False
    session.trust_env = False
    session.mount("https://", HTTPAdapter(pool_maxsize=64))
    return session


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A merchant: its key, and where the api is."""

    number: int
    key: ApiKey
    urls: Sequence[str]
    methods: dict[str, int]
    multicapture: bool
    #: Seconds after which a key without a final answer is a broken promise.
    gives_up: float = GIVES_UP
    session: requests.Session = field(default_factory=_session)

    def send(self, method: str, url: str, path: str, **more: Any) -> requests.Response:  # Any: as in requests
        """Send one request."""
        return self.session.request(method, url + path, timeout=_TIMEOUT, allow_redirects=False, **more)

    def ask(self, path: str, *, tries: int = 200) -> Json:
        """GET, until there is an answer."""
        for number in range(tries):
            try:
                response = self.send("GET", self.urls[number % len(self.urls)], path, headers=self.key.headers)
            except requests.RequestException:
                time.sleep(0.05)
                continue
            if response.status_code == 200:
                return dict(response.json())
            time.sleep(0.1)  # it is busy; the request is repeated, not waited for
        raise AssertionError(f"GET {path} had no answer {tries} times")

    def ask_all(self, path: str) -> list[Json]:
        """GET every page of a list."""
        found: list[Json] = []
        cursor = ""
        while True:
            page = self.ask(f"{path}{'&' if '?' in path else '?'}limit=100{cursor}")
            found += page["data"]
            if not page["has_more"]:
                return found
            cursor = f"&cursor={page['next_cursor']}"


class Client:
    """Takes one payment through its life, as its own random numbers say."""

    def __init__(self, shop: Shop, name: str) -> None:
        self._shop = shop
        self._draw = random.Random(name)
        self.history = History(name=name, merchant=shop.number)

    def run(self) -> None:
        """Create a payment, and do to it what merchants do."""
        created = self._create()
        if created.verdict is not Verdict.FINAL or created.status == 402:
            return
        if created.body["status"] == "requires_action":
            self._three_d_secure(created.body)
        elif created.body["status"] == "requires_capture":
            self._capture_or_void()
        self._look()
        if self._draw.random() < 0.7:
            self._refund()
        self._look()

    # ---- what merchants do
    def _create(self) -> Entry:
        draw, methods = self._draw, self._shop.methods
        arguments: Json = {
            "amount": draw.randint(100, 9999),
            "currency": "EUR",
            "payment_method": draw.choices(list(methods), list(methods.values()))[0],
            "capture_method": draw.choice(["automatic", "manual"]),
            "reference": self.history.name,
        }
        return self._settle("create", "/v1/payments", arguments, twice=draw.random() < 0.3)

    def _three_d_secure(self, payment: Json) -> None:
        token = payment["next_action"]["redirect_to_url"]["url"].rpartition("/")[2]
        approve = self._draw.random() < 0.7
        choice = self._draw.random()
        if choice < 0.6:
            self._decide(token, approve=approve)
        elif choice < 0.8:
            self._together(lambda: self._decide(token, approve=approve), self._void)
        else:
            self._void()
        seen = self._look()
        for _ in range(400):
            if seen.body["status"] != "processing" and not seen.body["pending_operation"]:
                break
            time.sleep(0.1)  # the outcome is announced to a webhook only; a poller polls
            seen = self._look(record=False)
        if seen.body["status"] == "requires_capture":
            self._capture_or_void()

    def _capture_or_void(self) -> None:
        amount = self._amount()
        choice = self._draw.random()
        if choice < 0.35:
            self._capture(self._draw.choice([None, self._draw.randint(1, amount)]))
        elif choice < 0.55 and self._shop.multicapture:
            first = self._draw.randint(1, amount - 1)
            self._capture(first, final=False)
            self._capture(self._draw.randint(1, amount - first), final=self._draw.random() < 0.5)
            self._void() if self._draw.random() < 0.3 else self._capture(None)
        elif choice < 0.75:
            self._together(lambda: self._capture(None), self._void)
        elif choice < 0.9:
            self._together(lambda: self._capture(amount), lambda: self._capture(amount - 1))
        else:
            self._void()

    def _refund(self) -> None:
        amount = self._amount()
        part = self._draw.randint(1, amount)
        if self._draw.random() < 0.5:
            self._refund_of(part)
            self._refund_of(self._draw.choice([None, amount - part + 1]))
        else:
            self._together(lambda: self._refund_of(part), lambda: self._refund_of(amount - part + 1), self._look)

    def _amount(self) -> int:
        created = next(entry for entry in self.history.entries if entry.kind == "create")
        return int(created.arguments["amount"])

    def _capture(self, amount: int | None, *, final: bool = True) -> Entry:
        arguments: Json = {"final": final} if amount is None else {"amount": amount, "final": final}
        return self._settle("capture", f"/v1/payments/{self.history.payment_id}/capture", arguments)

    def _void(self) -> Entry:
        return self._settle("void", f"/v1/payments/{self.history.payment_id}/void", {})

    def _refund_of(self, amount: int | None) -> Entry:
        arguments: Json = {} if amount is None else {"amount": amount}
        return self._settle("refund", f"/v1/payments/{self.history.payment_id}/refunds", arguments)

    def _look(self, *, record: bool = True) -> Entry:
        invoked = now()
        body = self._shop.ask(f"/v1/payments/{self.history.payment_id}")
        seen = Entry(
            kind="look", invoked=invoked, returned=now(), verdict=Verdict.SEEN, status=200, arguments={}, body=body
        )
        return self.history.add(seen) if record else seen

    def _decide(self, token: str, *, approve: bool) -> None:
        """Click, as customers do: again if the page did not answer. What they see proves nothing."""
        invoked = now()
        for number in range(30):
            try:
                url = self._shop.urls[number % len(self._shop.urls)]
                data = {"decision": "approve" if approve else "refuse"}
                status = self._shop.send("POST", url, f"/v1/sandbox/3ds/{token}", data=data).status_code
            except requests.RequestException:
                continue
            if status in (200, 303, 404):
                break
        self.history.add(
            Entry(
                kind="decide",
                invoked=invoked,
                returned=NEVER,
                verdict=Verdict.FINAL,
                status=200,
                arguments={"approve": approve},
                body={},
            )
        )

    def _together(self, *actions: Callable[[], object]) -> None:
        with ThreadPoolExecutor(len(actions)) as threads:
            for done in [threads.submit(action) for action in actions]:
                done.result()

    # ---- keys
    def _settle(self, kind: str, path: str, arguments: Json, *, twice: bool = False) -> Entry:
        """Repeat a request under one key until its answer is final; `twice` sends it from two places at once."""
        key = uuid.uuid4().hex
        invoked = now()
        if twice:
            with ThreadPoolExecutor(2) as threads:
                pair = [threads.submit(self._insist, kind, path, arguments, key, invoked) for _ in range(2)]
                first, second = (done.result() for done in pair)
            both_final = first.verdict is second.verdict is Verdict.FINAL
            if both_final and (first.status, first.text) != (second.status, second.text):
                self.history.breaks(f"two final answers under key {key}: {first} and {second}")
            return self.history.add(first)
        return self.history.add(self._insist(kind, path, arguments, key, invoked))

    def _insist(self, kind: str, path: str, arguments: Json, key: str, invoked: float) -> Entry:
        headers = {**self._shop.key.headers, "Idempotency-Key": key}
        unanswered, count = False, 0
        turn = int(key, 16)
        while now() < invoked + self._shop.gives_up:
            count += 1
            url = self._shop.urls[(turn + count) % len(self._shop.urls)]
            try:
                response = self._shop.send("POST", url, path, json=arguments, headers=headers)
                body = dict(response.json())
            except (requests.RequestException, ValueError):
                unanswered = True
                time.sleep(0.05)  # nobody is there: not to burn the processor that would start it again
                continue
            if kind == "create":
                self._learn(body)
            status = response.status_code
            # Told "unknown": as good as no answer.
            unanswered = unanswered or status in (202, 500) or body.get("code") == "request_in_progress"
            verdict = _verdict(status, body)
            if verdict is not None:
                return Entry(
                    kind=kind,
                    invoked=invoked,
                    returned=now(),
                    verdict=verdict,
                    status=status,
                    arguments=arguments,
                    body=body,
                    text=response.text,
                    path=path,
                    key=key,
                    unanswered=unanswered,
                    requests=count,
                )
            if status not in _RETRIED and body.get("code") not in _IN_PROGRESS:
                self.history.breaks(f"{kind} under key {key}: unexpected answer {status} {body.get('code')}")
            time.sleep(0.05 + 0.2 * (count % 3))  # as clients do; the answer says nothing more precise here
        raise AssertionError(f"{kind} {path} under key {key} has had no final answer for {self._shop.gives_up:g} s")

    def _learn(self, body: Json) -> None:
        """Note the payment's id, which must be the same in every answer."""
        payment = body if body.get("object") == "payment" else body.get("payment")
        if isinstance(payment, dict):
            known = self.history.payment_id
            if known and known != payment["id"]:
                self.history.breaks(f"one key made two payments: {known} and {payment['id']}")
            self.history.payment_id = payment["id"]


def _verdict(status: int, body: Json) -> Verdict | None:
    if status in _FINAL:
        return Verdict.FINAL
    if status in _REFUSED and body.get("code") not in _IN_PROGRESS:
        return Verdict.REFUSED
    return None


class Crowd:
    """All clients of a storm: each thread takes one payment after the other through its life."""

    def __init__(self, shops: Sequence[Shop], *, seed: str, threads: int) -> None:
        self._shops = shops
        self._seed = seed
        self._stop = threading.Event()
        self.histories: list[History] = []
        self._threads = [
            threading.Thread(target=self._work, args=(shops[number % len(shops)], number), name=f"client-{number}")
            for number in range(threads)
        ]

    def start(self) -> None:
        """Start every client."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Let every client finish the payment that it is at, without giving a key up."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * GIVES_UP)
            assert not thread.is_alive(), f"{thread.name} has not finished"

    def _work(self, shop: Shop, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            client = Client(shop, f"{self._seed}-{number}-{count}")
            self.histories.append(client.history)
            count += 1
            try:
                client.run()
            except Exception as error:  # noqa: BLE001 - reported with the storm's result
                client.history.breaks(f"{type(error).__name__}: {error}")
