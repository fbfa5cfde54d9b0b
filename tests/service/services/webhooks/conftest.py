"""A context of two merchants, what delivers, and a receiver."""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from payments.delivery.sender import Sender
from payments.repositories.database import Database
from payments.services.context import Context
from payments.worker.webhook_delivery import DeliveryPool
from tests.service.fixtures import Postgres
from tests.service.receivers import Receiver, receiver
from tests.service.services.webhooks.rig import ALICE, BOB, add_merchant


@pytest.fixture
def context(postgres: Postgres, database: Database) -> Context:
    with psycopg.connect(postgres.app) as connection:
        for principal in (ALICE, BOB):
            add_merchant(connection, principal)
    return Context(database=database, processors={}, routes={}, allow_local_webhooks=True)


@pytest.fixture
def deliverer(context: Context) -> Iterator[DeliveryPool]:
    found = DeliveryPool(context, Sender(allow_local=True, timeout=timedelta(seconds=2)), threads=8)
    yield found
    found.close()


@pytest.fixture
def shop() -> Iterator[Receiver]:
    with receiver() as found:
        yield found
