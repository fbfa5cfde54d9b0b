"""Whatever is left in an account is found and named."""

from typing import Any

import pytest

from rehearsal.account import sessions
from rehearsal.account.inventory import LISTINGS, describe, difference, take_inventory
from rehearsal.account.records import Records
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.account.leftovers import CREATE

pytestmark = pytest.mark.rehearsal


def test_every_kind_is_tested() -> None:
    assert CREATE.keys() == LISTINGS.keys()


@pytest.mark.parametrize("kind", sorted(CREATE))
def test_a_leftover_is_found(emulator: EmulatorProcess, kind: str) -> None:
    session: Any = sessions.open_session(emulator.port)
    before = frozenset(LISTINGS[kind](session))

    created = CREATE[kind](session.client)

    assert created not in before
    assert frozenset(LISTINGS[kind](session)) - before >= {created}


def test_the_whole_account_is_compared(emulator: EmulatorProcess) -> None:
    session = sessions.open_session(emulator.port)
    records = emulator.data / "records"
    before = take_inventory(session, records=records)
    assert difference(before, take_inventory(session, records=records)) == {}

    session.client("sns").create_topic(Name="alarms")
    session.client("sns").create_topic(Name="approvals")
    Records(records).write("AWS::CodePipeline::Pipeline", "pipeline-main", {})

    topic = "arn:aws:sns:us-east-1:000000000000"
    assert describe(difference(before, take_inventory(session, records=records))) == (
        f"AWS::CodePipeline::Pipeline: pipeline-main\nSNS topic: {topic}:alarms, {topic}:approvals"
    )


def test_a_key_that_is_pending_deletion_is_no_leftover(emulator: EmulatorProcess) -> None:
    session = sessions.open_session(emulator.port)
    before = take_inventory(session)
    key = session.client("kms").create_key()["KeyMetadata"]["KeyId"]
    session.client("kms").schedule_key_deletion(KeyId=key, PendingWindowInDays=7)

    assert difference(before, take_inventory(session)) == {}
