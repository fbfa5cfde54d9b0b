"""A failure stops the pipeline where it happens, is reported with its place and cause, and does not affect prod."""

import json
import ssl
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from rehearsal.codepipeline.execution import StageFailedError
from rehearsal.codepipeline.source import Commit
from rehearsal.codepipeline.timeline import Status
from tests.rehearsal.conftest import Session

pytestmark = [pytest.mark.rehearsal, pytest.mark.takes_minutes, pytest.mark.xdist_group("fixture-session")]


#: Seconds between two calls of a client: no gap in service is that short, and the machine is left to the pipeline.
_PAUSE = 0.05


@dataclass
class Client:
    """Calls an environment until it is stopped."""

    url: str
    context: ssl.SSLContext
    releases: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def release(self) -> str:
        """Return the release that serves now."""
        with urllib.request.urlopen(f"{self.url}/healthz", timeout=10, context=self.context) as response:
            return str(json.loads(response.read())["release"])

    def call_continuously(self) -> None:
        """Call again and again; record every failed call."""
        while not self.stopped.wait(_PAUSE):
            try:
                self.releases.append(self.release())
            except OSError as error:
                self.failures.append(str(error))


Clients = Mapping[str, Client]


def client(session: Session, environment: str) -> Client:
    urls = {stack.name: stack.url for stack in session.account.served_stacks()}
    context = ssl.create_default_context(cafile=session.account.runtime.ca_file)
    return Client(urls[f"fixture-service-{environment}"], context)


@contextmanager
def continuous_clients(session: Session) -> Iterator[Clients]:
    """Call dev and prod all the time; no call may fail."""
    clients = {environment: client(session, environment) for environment in ("dev", "prod")}
    threads = [threading.Thread(target=each.call_continuously) for each in clients.values()]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        for each in clients.values():
            each.stopped.set()
        for thread in threads:
            thread.join()
    for environment, each in clients.items():
        assert each.releases, f"{environment} was not called"
        assert each.failures == [], f"calls to {environment} failed"


@pytest.fixture(autouse=True)
def first_release(session: Session) -> Iterator[None]:
    """Commit the first release again after the test, and deploy it nowhere: prod serves it, dev may serve another."""
    yield
    session.checkout.git("checkout", "--quiet", "HEAD~1", "--", ".")
    session.checkout.commit("Return to the first release")


@pytest.fixture
def unaffected(session: Session) -> Iterator[None]:
    """Expect that only the releases that serve before the test serve during it, and after it."""
    before = {environment: client(session, environment).release() for environment in ("dev", "prod")}
    with continuous_clients(session) as clients:
        yield
    for environment, each in clients.items():
        assert set(each.releases) == {before[environment]}, f"{environment} served another release"
        assert each.release() == before[environment]


def run_failing(session: Session, *, stage: str, action: str) -> StageFailedError:
    """Run the newest commit, which must fail in the action; nothing of a later stage may have started."""
    with pytest.raises(StageFailedError) as caught:
        session.rehearsal.run(Commit.resolve(session.checkout.folder, "HEAD"))
    assert caught.value.stage == stage
    assert action in caught.value.action
    entries = session.rehearsal.timeline.entries()
    newest = [entry for entry in entries if entry.execution == entries[-1].execution]
    failed = next(number for number, entry in enumerate(newest) if entry.status is Status.FAILED)
    assert {entry.status for entry in newest[failed + 1 :] if entry.stage != stage} <= {Status.ABANDONED}
    return caught.value


def read_log(error: StageFailedError) -> str:
    assert error.log is not None
    return error.log.read_text()


def stack_status(session: Session, environment: str) -> str:
    cloudformation = session.account.session.client("cloudformation")
    return cloudformation.describe_stacks(StackName=f"fixture-service-{environment}")["Stacks"][0]["StackStatus"]


@pytest.mark.usefixtures("unaffected")
def test_a_failing_unit_test_stops_the_build(session: Session) -> None:
    session.checkout.change("service/behaviour.json", release="")
    error = run_failing(session, stage="Build", action="Synth")
    assert "unittest discover" in str(error)
    assert "FAIL:" in read_log(error)


@pytest.mark.usefixtures("unaffected")
def test_a_refused_template_stops_before_any_deployment(session: Session) -> None:
    session.checkout.change("environments.json", refused_template=True)
    error = run_failing(session, stage="Dev", action="Prepare")
    assert "AWS::EC2::Unknown" in str(error)


@pytest.mark.usefixtures("unaffected")
def test_a_container_that_crashes_in_dev_is_rolled_back(session: Session) -> None:
    session.checkout.change("service/behaviour.json", release="2", crash_in=["dev", "prod"])
    error = run_failing(session, stage="Dev", action="Deploy")
    assert "unknown setting: APP_MODE" in str(error)
    assert stack_status(session, "dev") == "UPDATE_ROLLBACK_COMPLETE"


def test_a_container_that_crashes_in_prod_only_is_rolled_back(session: Session) -> None:
    with continuous_clients(session) as clients:
        session.checkout.change("service/behaviour.json", release="3", crash_in=["prod"])
        error = run_failing(session, stage="Prod", action="Deploy")
    assert "unknown setting: APP_MODE" in str(error)
    assert stack_status(session, "prod") == "UPDATE_ROLLBACK_COMPLETE"
    assert set(clients["prod"].releases) == {"1"}
    assert clients["prod"].release() == "1"
    assert clients["dev"].release() == "3"


@pytest.mark.usefixtures("unaffected")
def test_a_release_whose_migration_fails_never_serves(session: Session) -> None:
    session.checkout.change("service/behaviour.json", release="4", fail_migration=True)
    error = run_failing(session, stage="Dev", action="Deploy")
    assert "migration 0007 failed" in str(error)


def test_a_rejected_approval_stops_before_prod(session: Session) -> None:
    session.checkout.change("service/behaviour.json", release="5")
    session.decider.approves = False
    try:
        error = run_failing(session, stage="Prod", action="Approve")
    finally:
        session.decider.approves = True
    assert "rejected" in str(error)
    assert client(session, "prod").release() == "1"
    assert client(session, "dev").release() == "5"
    assert session.decider.requests[-1].action == "ApproveProd"


def test_a_failing_smoke_test_stops_before_prod_and_logs_the_response(session: Session) -> None:
    session.checkout.change("service/behaviour.json", release="6", fail_smoke=True)
    error = run_failing(session, stage="Dev", action="Smoke")
    assert "returned 500" in read_log(error)
    assert client(session, "prod").release() == "1"


def test_a_commit_that_adds_an_environment_restarts_the_pipeline(session: Session) -> None:
    environments = json.loads((session.checkout.folder / "environments.json").read_text())["environments"]
    session.checkout.change("environments.json", environments=[*environments, {"name": "staging", "approval": False}])
    before = len(session.rehearsal.timeline.entries())
    session.rehearsal.run(Commit.resolve(session.checkout.folder, "HEAD"))
    entries = session.rehearsal.timeline.entries()[before:]
    executions = list(dict.fromkeys(entry.execution for entry in entries))
    assert len(executions) == 2
    first, second = ([entry for entry in entries if entry.execution == each] for each in executions)
    assert {entry.status for entry in first if entry.stage in ("Dev", "Prod")} == {Status.ABANDONED}
    assert {entry.status for entry in second} == {Status.SUCCEEDED}
    assert "Staging" in {entry.stage for entry in second}
    assert client(session, "staging").release() == "1"
