"""A stand-in for Stripe's API over real HTTP: PaymentIntents, refunds, idempotency keys, webhooks, and faults.

It follows Stripe's documentation for the calls that `payments.processors.stripe` makes. Faults are queued per call
name (`create`, `confirm`, `capture`, `cancel`, `retrieve`, `refund`, `list_refunds`) and consumed one by one:

    standin.faults["confirm"] = ["lost"]     # executed, then the connection is reset

`before` resets the connection before the call is executed, `lost` afterwards; `500` and `500-after` return a server
error before and after it; `429` and `409` refuse; `hang` executes the call, and responds once `released` is set; `drip`
executes it, and responds byte by byte until then, `drip-head` from the first byte on; `html` and `html403` return
something that is not JSON. A `Refused` is returned as it is.

What Stripe refuses by its rules (`stripe_rules`) is refused here: units, limits, parameters, metadata, states. Every
response, and our requests, are checked against Stripe's OpenAPI document (`stripe_contract`).
"""

import contextlib
import hashlib
import hmac
import http.server
import itertools
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.service.processors.stripe_contract import violations
from tests.service.processors.stripe_rules import (
    Refused,
    check_amount,
    check_charge,
    check_parameters,
    invalid,
    major_units,
    merge_metadata,
)

API_KEY = "sk_test_standin"
WEBHOOK_SECRET = "whsec_standin"
#: Seconds between two bytes of a response that drips in.
_DRIP = 0.2
_DECLINES = {
    "pm_card_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_chargeDeclinedLostCard": ("card_declined", "lost_card"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", None),
}


@dataclass
class StripeStandin:
    url: str = ""
    faults: dict[str, list[Any]] = field(default_factory=dict)  # Any: a word or a Refused, lists being invariant
    #: The key that is valid.
    api_key: str = API_KEY
    #: Calls that the key has no permission for.
    denied: set[str] = field(default_factory=set)
    intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: How often each call was executed, without replays.
    executed: Counter[str] = field(default_factory=Counter)
    #: How often each call arrived.
    arrived: Counter[str] = field(default_factory=Counter)
    #: What contradicted Stripe's OpenAPI document.
    violations: list[str] = field(default_factory=list)
    #: Lets responses with the fault `hang` go.
    released: threading.Event = field(default_factory=threading.Event)
    #: PaymentIntents whose customers have disputed them: they cannot be refunded.
    disputed: set[str] = field(default_factory=set)
    #: Status of new refunds.
    refund_status: str = "succeeded"
    _replays: dict[str, tuple[str, int, dict[str, Any]]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # ---- for tests
    def forget_idempotency_keys(self) -> None:
        self._replays.clear()

    def complete_3ds(self, intent_id: str, *, approve: bool) -> None:
        intent = self.intents[intent_id]
        if approve:
            self._approve(intent)
        else:
            intent.update(status="requires_payment_method", next_action=None)
            intent["last_payment_error"] = {
                "type": "card_error",
                "code": "payment_intent_authentication_failure",
                "message": "authentication failed",
            }

    def settle(self, intent_id: str, *, approve: bool) -> None:
        intent = self.intents[intent_id]
        if approve:
            self._approve(intent)
        else:
            intent.update(status="requires_payment_method")
            intent["last_payment_error"] = {"type": "card_error", "code": "card_declined", "message": "declined"}

    def charged(self) -> int:
        """Return the money that customers have paid, in the API's units."""
        return sum(intent["amount_received"] for intent in self.intents.values())

    def charged_in(self, currency: str) -> float:
        """Return the money that customers have paid in a currency, as people count it."""
        found = (i["amount_received"] for i in self.intents.values() if i["currency"] == currency)
        return major_units(sum(found), currency)

    def webhook(self, event_type: str, obj: dict[str, Any], *, age: float = 0, secret: str = WEBHOOK_SECRET) -> Any:
        """Return the raw body and the headers of an event as Stripe sends it."""
        event = {
            "id": f"evt_{next(self._ids)}",
            "object": "event",
            "type": event_type,
            "livemode": False,
            "data": {"object": obj},
        }
        body = json.dumps(event).encode()
        timestamp = int(time.time() - age)
        digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
        return body, {"Stripe-Signature": f"t={timestamp},v1={digest}", "Content-Type": "application/json"}

    # ---- the API
    def _approve(self, intent: dict[str, Any]) -> None:
        intent.update(next_action=None, last_payment_error=None, latest_charge=f"ch_{next(self._ids)}")
        if intent["capture_method"] == "manual":
            intent.update(status="requires_capture", amount_capturable=intent["amount"])
        else:
            intent.update(status="succeeded", amount_received=intent["amount"])

    def create(self, _: str, form: dict[str, Any]) -> dict[str, Any]:
        if form.get("payment_method", "").startswith("pm_missing"):
            raise invalid("No such PaymentMethod", "resource_missing", param="payment_method")
        intent_id = f"pi_{next(self._ids)}"
        intent = {
            "id": intent_id,
            "object": "payment_intent",
            "amount": check_charge(form["amount"], form["currency"]),
            "amount_capturable": 0,
            "amount_received": 0,
            "currency": form["currency"],
            "capture_method": form.get("capture_method", "automatic"),
            "client_secret": f"{intent_id}_secret_{next(self._ids)}",
            "confirmation_method": "automatic",
            "created": int(time.time()),
            "status": "requires_confirmation",
            "payment_method": form.get("payment_method"),
            "payment_method_types": ["card"],
            "description": form.get("description"),
            "metadata": merge_metadata({}, form.get("metadata", {})),
            "last_payment_error": None,
            "next_action": None,
            "latest_charge": None,
            "canceled_at": None,
            "cancellation_reason": None,
            "livemode": False,
        }
        self.intents[intent_id] = intent
        return intent

    def retrieve(self, intent_id: str, _: dict[str, Any]) -> dict[str, Any]:
        if intent_id not in self.intents:
            raise invalid("No such payment_intent", "resource_missing", 404, param="intent")
        return self.intents[intent_id]

    def confirm(self, intent_id: str, form: dict[str, Any]) -> dict[str, Any]:
        intent = self.retrieve(intent_id, {})
        if intent["status"] not in {"requires_confirmation", "requires_payment_method"}:
            raise invalid("unexpected state", "payment_intent_unexpected_state", payment_intent=intent)
        method = form.get("payment_method") or intent["payment_method"]
        if method in _DECLINES:
            code, decline_code = _DECLINES[method]
            error = {"type": "card_error", "code": code, "message": "declined", "advice_code": "try_again_later"}
            if decline_code:
                error["decline_code"] = decline_code
            intent.update(status="requires_payment_method", last_payment_error=error, payment_method=None)
            raise Refused(402, {**error, "payment_intent": intent})
        if method == "pm_card_authenticationRequired":
            redirect = {"url": f"{self.url}/3ds/{intent_id}", "return_url": form.get("return_url")}
            intent.update(
                status="requires_action", next_action={"type": "redirect_to_url", "redirect_to_url": redirect}
            )
        elif method == "pm_processing":
            intent.update(status="processing")
        else:
            self._approve(intent)
        return intent

    def capture(self, intent_id: str, form: dict[str, Any]) -> dict[str, Any]:
        intent = self.retrieve(intent_id, {})
        if intent["status"] != "requires_capture":
            raise invalid("unexpected state", "payment_intent_unexpected_state", payment_intent=intent)
        text = form.get("amount_to_capture", str(intent["amount_capturable"]))
        amount = check_amount(text, intent["currency"], param="amount_to_capture")
        if amount > intent["amount_capturable"]:
            raise invalid("too much", "amount_too_large", param="amount_to_capture")
        metadata = merge_metadata(intent["metadata"], form.get("metadata", {}))
        intent.update(status="succeeded", amount_received=amount, amount_capturable=0, metadata=metadata)
        return intent

    def cancel(self, intent_id: str, form: dict[str, Any]) -> dict[str, Any]:
        intent = self.retrieve(intent_id, {})
        if intent["status"] in {"succeeded", "canceled", "processing"}:
            raise invalid("unexpected state", "payment_intent_unexpected_state", payment_intent=intent)
        reason = form.get("cancellation_reason")
        intent.update(status="canceled", amount_capturable=0, canceled_at=int(time.time()), cancellation_reason=reason)
        return intent

    def refund(self, _: str, form: dict[str, Any]) -> dict[str, Any]:
        if form["payment_intent"] not in self.intents:
            raise invalid("No such payment_intent", "resource_missing", param="payment_intent")
        intent = self.intents[form["payment_intent"]]
        if intent["id"] in self.disputed:
            raise invalid("The charge has been charged back", "charge_disputed", param="payment_intent")
        refunded = sum(
            refund["amount"]
            for refund in self.refunds.values()
            if refund["payment_intent"] == intent["id"] and refund["status"] not in {"failed", "canceled"}
        )
        left = intent["amount_received"] - refunded
        if not left:
            raise invalid("The charge has already been refunded", "charge_already_refunded")
        amount = check_amount(form.get("amount", str(left)), intent["currency"])
        if amount > left:
            raise invalid("Refund amount is greater than unrefunded amount on charge", param="amount")
        refund = {
            "id": f"re_{next(self._ids)}",
            "object": "refund",
            "amount": amount,
            "balance_transaction": None,
            "charge": intent["latest_charge"],
            "created": int(time.time()),
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "reason": form.get("reason"),
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": self.refund_status,
            "transfer_reversal": None,
            "metadata": merge_metadata({}, form.get("metadata", {})),
        }
        self.refunds[refund["id"]] = refund
        return refund

    def get_refund(self, refund_id: str, _: dict[str, Any]) -> dict[str, Any]:
        if refund_id not in self.refunds:
            raise invalid("No such refund", "resource_missing", 404)
        return self.refunds[refund_id]

    def list_refunds(self, _: str, form: dict[str, Any]) -> dict[str, Any]:
        found = [r for r in reversed(self.refunds.values()) if r["payment_intent"] == form.get("payment_intent")]
        after = form.get("starting_after")
        if after:
            found = found[[r["id"] for r in found].index(after) + 1 :]
        limit = int(form.get("limit", 10))
        page = found[:limit]
        return {"object": "list", "url": "/v1/refunds", "has_more": len(found) > limit, "data": page}

    # ---- transport
    _ROUTES = (
        ("POST", re.compile(r"/v1/payment_intents()"), "create"),
        ("GET", re.compile(r"/v1/payment_intents/([^/]+)"), "retrieve"),
        ("POST", re.compile(r"/v1/payment_intents/([^/]+)/confirm"), "confirm"),
        ("POST", re.compile(r"/v1/payment_intents/([^/]+)/capture"), "capture"),
        ("POST", re.compile(r"/v1/payment_intents/([^/]+)/cancel"), "cancel"),
        ("POST", re.compile(r"/v1/refunds()"), "refund"),
        ("GET", re.compile(r"/v1/refunds/([^/]+)"), "get_refund"),
        ("GET", re.compile(r"/v1/refunds()"), "list_refunds"),
    )

    def route(self, method: str, path: str) -> tuple[str, str]:
        for verb, pattern, name in self._ROUTES:
            match = pattern.fullmatch(path)
            if verb == method and match:
                return name, match[1]
        return "", ""

    def execute(self, name: str, argument: str, form: dict[str, Any], key: str) -> tuple[int, dict[str, Any]]:
        """Execute one call, at most once per idempotency key."""
        fingerprint = f"{name} {argument} {json.dumps(form, sort_keys=True)}"
        with self._lock:
            if key and key in self._replays:
                known, status, body = self._replays[key]
                if known != fingerprint:
                    message = "Keys for idempotent requests can only be used with the same parameters."
                    return 400, {"error": {"type": "idempotency_error", "message": message}}
                return status, body
            self.executed[name] += 1
            try:
                check_parameters(name, form)
                # A copy, since a response does not change with the object.
                status, body = 200, json.loads(json.dumps(getattr(self, name)(argument, form)))
            except Refused as refused:
                status, body = refused.status, {"error": json.loads(json.dumps(refused.error))}
            self.violations += violations(name, form, status, body)
            if key:
                self._replays[key] = (fingerprint, status, body)
            return status, body

    def next_fault(self, name: str) -> str | Refused:
        with self._lock:
            self.arrived[name] += 1
            found: str | Refused = (self.faults.get(name) or [""]).pop(0)
            return found


def _form(text: str) -> dict[str, Any]:
    """Stripe's form encoding with one level of nesting: ``metadata[attempt]=...``."""
    result: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        nested = re.fullmatch(r"(\w+)\[(.+)\]", name)
        if nested and nested[2].isdigit():
            result.setdefault(nested[1], []).append(value)
        elif nested:
            result.setdefault(nested[1], {})[nested[2]] = value
        else:
            result[name] = value
    return result


class _Handler(http.server.BaseHTTPRequestHandler):
    standin: StripeStandin
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        url = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        name, argument = self.standin.route(self.command, url.path)
        if not name:
            self._respond(404, {"error": {"type": "invalid_request_error", "message": f"Unrecognized: {url.path}"}})
            return
        if self.headers.get("Authorization") != f"Bearer {self.standin.api_key}":
            self._respond(401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key"}})
            return
        if name in self.standin.denied:
            message = "The provided key does not have the required permissions for this endpoint"
            self._respond(403, {"error": {"type": "invalid_request_error", "message": message}})
            return
        self._with_fault(self.standin.next_fault(name), name, argument, _form(raw or url.query))

    def _with_fault(self, fault: str | Refused, name: str, argument: str, form: dict[str, Any]) -> None:
        if isinstance(fault, Refused):
            self._respond(fault.status, {"error": fault.error})
            return
        refusals = {"500": (500, "api_error"), "429": (429, "invalid_request_error"), "409": (409, "api_error")}
        if fault in refusals:
            status, kind = refusals[fault]
            self._respond(status, {"error": {"type": kind, "message": fault}})
            return
        if fault == "before":
            self._reset()
            return
        if fault.startswith("html"):
            self._respond(int(fault[4:] or 502), None)
            return
        status, body = self.standin.execute(name, argument, form, self.headers.get("Idempotency-Key", ""))
        self._respond_with_fault(fault, status, body)

    def _respond_with_fault(self, fault: str, status: int, body: dict[str, Any]) -> None:
        """Respond to what was executed."""
        if fault == "lost":
            self._reset()
        elif fault == "500-after":
            self._respond(500, {"error": {"type": "api_error", "message": fault}})
        elif fault.startswith("drip"):
            self._drip(fault, body)
        else:
            if fault == "hang":
                self.standin.released.wait(60)
            self._respond(status, body)

    do_GET = do_POST = _serve  # noqa: N815 - names of http.server

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()

    def _drip(self, fault: str, body: dict[str, Any]) -> None:
        """Respond for much longer than a client's time-out for a single read would notice."""
        self.close_connection = True
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n"
        rest = b"X-Slow: " if fault == "drip-head" else b"\r\n" + json.dumps(body).encode()[:1]
        with contextlib.suppress(OSError):  # the client has given up
            self.wfile.write(head + rest)
            while not self.standin.released.wait(_DRIP):
                self.wfile.write(b" ")

    def _respond(self, status: int, body: dict[str, Any] | None) -> None:
        data = b"<html>Bad gateway</html>" if body is None else json.dumps(body).encode()
        with contextlib.suppress(OSError):  # the client may have timed out
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if body is not None else "text/html")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Request-Id", "req_standin")
            self.end_headers()
            self.wfile.write(data)

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def stripe_standin(standin: StripeStandin | None = None) -> Iterator[StripeStandin]:
    standin = standin or StripeStandin()

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # it resets connections on purpose

    handler = type("Handler", (_Handler,), {"standin": standin})
    server = Server(("127.0.0.1", 0), handler)
    standin.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield standin
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert not standin.violations, "\n".join(sorted(set(standin.violations)))
