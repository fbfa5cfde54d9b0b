"""Every failure stops where it must, says what and where, and leaves prod as it was."""

import json
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from rehearsal.codepipeline.execution import StageFailedError
from rehearsal.codepipeline.source import Commit
from rehearsal.codepipeline.timeline import Status
from tests.rehearsal.conftest import Session

pytestmark = [pytest.mark.rehearsal, pytest.mark.takes_minutes, pytest.mark.xdist_group("fixture-session")]


@dataclass
class Client:
    """Calls an environment and never stops until told to."""

    url: str
    context: ssl.SSLContext
    answers: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def release(self) -> str:
        """The release that answers now."""
        with urllib.request.urlopen(f"{self.url}/healthz", timeout=10, context=self.context) as response:
            return str(json.loads(response.read())["release"])

    def keep_calling(self) -> None:
        """Call without a pause; every failed call counts."""
        while not self.done.is_set():
            try:
                self.answers.append(self.release())
            except OSError as error:
                self.failures.append(str(error))


def client(session: Session, environment: str) -> Client:
    url = session.account.endpoints()[f"fixture-service-{environment}"]["ApiUrl"]
    return Client(url, ssl.create_default_context(cafile=session.account.runtime.ca_file))


@contextmanager
def calling(session: Session) -> Iterator[dict[str, Client]]:
    """Clients of dev and prod that call all the time, and lose not a single call."""
    clients = {environment: client(session, environment) for environment in ("dev", "prod")}
    threads = [threading.Thread(target=watch.keep_calling) for watch in clients.values()]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        for watch in clients.values():
            watch.done.set()
        for thread in threads:
            thread.join()
    for environment, watch in clients.items():
        assert watch.answers, f"nobody called {environment}"
        assert watch.failures == [], f"calls to {environment} failed"


@pytest.fixture
def watched(session: Session) -> Iterator[dict[str, Client]]:
    """Clients that get the good release throughout; afterwards it is committed again."""
    with calling(session) as clients:
        yield clients
    session.decider.approves = True
    session.checkout.git("checkout", "--quiet", "HEAD~1", "--", ".")
    session.checkout.commit("Go back to the good release")
    for environment, watch in clients.items():
        assert set(watch.answers) <= {"1"}, f"{environment} served another release than the good one"
        assert watch.release() == "1"


def fails(session: Session, *, stage: str, action: str) -> StageFailedError:
    """Run the newest commit, which must fail there; nothing of a later stage may have begun."""
    with pytest.raises(StageFailedError) as caught:
        session.rehearsal.run(Commit.resolve(session.checkout.folder, "HEAD"))
    assert caught.value.stage == stage
    assert action in caught.value.action
    entries = session.rehearsal.timeline.entries()
    newest = [entry for entry in entries if entry.execution == entries[-1].execution]
    failed = next(number for number, entry in enumerate(newest) if entry.status is Status.FAILED)
    assert {entry.status for entry in newest[failed + 1 :] if entry.stage != stage} <= {Status.ABANDONED}
    return caught.value


def log_of(error: StageFailedError) -> str:
    assert error.log is not None
    return error.log.read_text()


def test_a_failing_unit_test_stops_the_build(session: Session, watched: dict[str, Client]) -> None:
    session.checkout.change("service/behaviour.json", release="")
    error = fails(session, stage="Build", action="Synth")
    assert "unittest discover" in str(error)
    assert "FAIL:" in log_of(error)


def test_a_template_that_the_account_refuses_stops_before_anything_is_deployed(
    session: Session, watched: dict[str, Client]
) -> None:
    session.checkout.change("environments.json", refused_template=True)
    error = fails(session, stage="Dev", action="Prepare")
    assert "AWS::EC2::NoSuchThing" in str(error)


def test_a_container_that_crashes_at_start_is_rolled_back_in_dev(session: Session, watched: dict[str, Client]) -> None:
    session.checkout.change("service/behaviour.json", release="2", crash_in=["dev", "prod"])
    error = fails(session, stage="Dev", action="Deploy")
    assert "no such setting: PAYMENTS_MODE" in str(error)
    status = session.account.session.client("cloudformation").describe_stacks(StackName="fixture-service-dev")
    assert status["Stacks"][0]["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"


def test_a_container_that_crashes_in_prod_only_leaves_prod_on_its_old_release(session: Session) -> None:
    """Dev goes on to the new release; prod's stack is rolled back, and neither client loses a call."""
    with calling(session) as clients:
        session.checkout.change("service/behaviour.json", release="2", crash_in=["prod"])
        error = fails(session, stage="Prod", action="Deploy")
    assert "no such setting: PAYMENTS_MODE" in str(error)
    status = session.account.session.client("cloudformation").describe_stacks(StackName="fixture-service-prod")
    assert status["Stacks"][0]["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert set(clients["prod"].answers) == {"1"}
    assert clients["prod"].release() == "1"
    assert clients["dev"].release() == "2"
    back_to_the_good_release(session)


def test_a_migration_that_fails_never_lets_the_release_serve(session: Session, watched: dict[str, Client]) -> None:
    session.checkout.change("service/behaviour.json", release="2", fail_migration=True)
    error = fails(session, stage="Dev", action="Deploy")
    assert "migration 0007 failed" in str(error)


def test_a_rejected_approval_does_not_touch_prod(session: Session) -> None:
    session.checkout.change("service/behaviour.json", release="3")
    session.decider.approves = False
    prod = client(session, "prod")
    try:
        error = fails(session, stage="Prod", action="Approve")
    finally:
        session.decider.approves = True
    assert "rejected" in str(error)
    assert prod.release() == "1"
    assert client(session, "dev").release() == "3"
    assert session.decider.requests[-1].action == "ApproveProd"
    back_to_the_good_release(session)


def test_a_failing_smoke_check_stops_before_prod_and_shows_the_answer(session: Session) -> None:
    session.checkout.change("service/behaviour.json", release="2", fail_smoke=True)
    error = fails(session, stage="Dev", action="Smoke")
    assert "answered 500" in log_of(error)
    assert client(session, "prod").release() == "1"
    back_to_the_good_release(session)


def test_a_commit_that_adds_an_environment_mutates_the_pipeline_and_the_new_stage_runs(session: Session) -> None:
    environments = json.loads((session.checkout.folder / "environments.json").read_text())["environments"]
    session.checkout.change("environments.json", environments=[*environments, {"name": "staging", "approval": False}])
    before = len(session.rehearsal.timeline.entries())
    session.rehearsal.run(Commit.resolve(session.checkout.folder, "HEAD"))
    entries = session.rehearsal.timeline.entries()[before:]
    executions = list(dict.fromkeys(entry.execution for entry in entries))
    assert len(executions) == 2
    first, second = ([entry for entry in entries if entry.execution == one] for one in executions)
    assert {entry.status for entry in first if entry.stage in ("Dev", "Prod")} == {Status.ABANDONED}
    assert {entry.status for entry in second} == {Status.SUCCEEDED}
    assert "Staging" in {entry.stage for entry in second}
    assert client(session, "staging").release() == "1"


def back_to_the_good_release(session: Session) -> None:
    session.checkout.git("checkout", "--quiet", "HEAD~1", "--", ".")
    session.rehearsal.run(session.checkout.commit("Go back to the good release"))
    assert Commit.resolve(session.checkout.folder, "HEAD").subject.startswith("Go back")
