"""A shop whose payments go through the stand-in for Stripe, where others change them too."""

from collections.abc import Sequence
from typing import Any

from payments.processors.stripe import StripeProcessor
from payments.repositories.database import Database
from payments.services import inbox, ledger_integrity
from payments.worker.processor_events import EventPool
from tests.service.api import Client, context_with, recover_due
from tests.service.fixtures import ApiKey, Postgres
from tests.service.processors.stripe_dashboard import StripeDashboard
from tests.service.processors.stripe_standin import API_KEY, WEBHOOK_SECRET

PATH = "/v1/processors/stripe/webhooks"
Message = tuple[str, dict[str, Any]]


class Shop(Client):
    """A client of the API, and everything around it: the processor, its webhooks, the worker, the clock."""

    def __init__(self, database: Database, key: ApiKey, postgres: Postgres, stripe: StripeDashboard) -> None:
        processor = StripeProcessor(api_key=API_KEY, webhook_secret=WEBHOOK_SECRET, base_url=stripe.url)
        super().__init__(context_with(database, processor), key)
        self.postgres = postgres
        self.stripe = stripe

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self.postgres.execute(statement, *parameters)

    def buy(self, amount: int = 1000, **fields: Any) -> tuple[str, str]:
        """Create a payment; returns its id and Stripe's."""
        payment_id = self.create("pm_card_visa", amount, **fields).get_json()["id"]
        return payment_id, self.intent(payment_id)

    def intent(self, payment_id: str) -> str:
        statement = "SELECT processor_reference FROM attempts WHERE payment_id = %s AND kind = 'payment'"
        ((reference,),) = self.sql(statement, payment_id)
        return str(reference)

    # ---- webhooks
    def send(self, message: Message) -> None:
        body, headers = self.stripe.webhook(*message)
        response = self.http().post(PATH, data=body, headers=headers)
        assert (response.status_code, response.get_json()) == (200, {"received": True})

    def deliver(self, messages: Sequence[Message] | None = None) -> None:
        """Send ``messages``, by default all that Stripe has, and let the worker follow them."""
        for message in self.stripe.messages if messages is None else messages:
            self.send(message)
        if messages is None:
            self.stripe.messages.clear()
        self.work()

    # ---- the worker
    def look(self) -> bool:
        """Look at the due events once; returns whether there were any."""
        pool = EventPool(self.context, "stripe")
        found = pool.run()
        pool.close()
        return found

    def work(self, rounds: int = 8) -> None:
        """Let time pass and the worker work until nothing changes; what waits for ever stays open."""
        for _ in range(rounds):
            self.sql("UPDATE attempts SET deadline_at = now(), next_look_at = now() WHERE status = 'open'")
            self.sql("UPDATE processor_inbox SET next_look_at = now() WHERE state = 'open'")
            if not recover_due(self.context) | self.look():
                return

    def inbox(self) -> list[tuple[str, str | None]]:
        """Return state and reason of every event, in order of arrival."""
        return self.sql("SELECT state, reason FROM processor_inbox ORDER BY received_at, event_id")

    def states(self) -> set[str]:
        return {state for state, _ in self.inbox()}

    # ---- the books
    def refunds(self, payment_id: str) -> list[tuple[int, str, str | None]]:
        """Return amount, status and reason of a payment's refunds, oldest first."""
        data = self.json(self.get(f"/v1/payments/{payment_id}/refunds", limit=100))["data"]
        return [(refund["amount"], refund["status"], refund["reason"]) for refund in reversed(data)]

    def events(self, payment_id: str) -> list[dict[str, Any]]:
        data = self.json(self.get(f"/v1/payments/{payment_id}/events", limit=100))["data"]
        return list(reversed(data))

    def problems(self) -> list[Any]:
        """Return what `payments ledger verify` finds."""
        ledger_integrity.roll_up(self.context)
        return ledger_integrity.verify(self.context).problems

    def unmapped(self) -> list[str]:
        """Return the reasons of the events that need a person."""
        return [str(event.reason) for event in inbox.list_unmapped(self.context)]
