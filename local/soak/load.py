"""Light load: about once a second a payment and a read of it; for some payments the processor's response is lost."""

import json
import ssl
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local.soak.stage import DeployedApi

_PAUSE_SECONDS = 1.0
_PAYMENT = {"amount": 1250, "currency": "USD", "payment_method": "tok_visa", "capture_method": "automatic"}
#: One payment in so many needs recovery.
_LOST_EVERY = 5
_TIMEOUT_SECONDS = 30.0


@dataclass(kw_only=True)
class Responses:
    """The responses of the API: seconds of the successful ones, descriptions of the failed ones."""

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Client:
    """Takes payments."""

    def __init__(self, deployed: DeployedApi) -> None:
        self.responses = Responses()
        self._deployed = deployed
        self._trust = ssl.create_default_context(cafile=str(deployed.ca_file))
        self._count = 0

    @contextmanager
    def paying(self) -> Iterator[None]:
        """Take payments for the duration of the block."""
        done = threading.Event()

        def keep_paying() -> None:
            while not done.wait(_PAUSE_SECONDS):
                self.pay()

        thread = threading.Thread(target=keep_paying, name="light load")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def pay(self) -> None:
        """Take a payment and read it."""
        self._count += 1
        lost = self._count % _LOST_EVERY == 0
        payment = self._call("/v1/payments", _PAYMENT | ({"payment_method": "tok_lost_approved"} if lost else {}))
        if payment is not None:
            self._call(f"/v1/payments/{payment['id']}")

    def _call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        headers = {"Authorization": f"Bearer {self._deployed.api_key}", "Content-Type": "application/json"}
        data = None
        if body is not None:
            headers["Idempotency-Key"] = str(uuid.uuid4())
            data = json.dumps(body).encode()
        request = urllib.request.Request(self._deployed.url + path, data=data, headers=headers)  # noqa: S310 - an https URL
        begun = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS, context=self._trust) as response:  # noqa: S310 - see above
                payment: dict[str, Any] = json.loads(response.read())
        except (OSError, ValueError) as error:  # a status of 4xx or 5xx is an OSError too
            self.responses.failed.append(f"{path}: {error}")
            return None
        self.responses.seconds.append(time.monotonic() - begun)
        return payment
