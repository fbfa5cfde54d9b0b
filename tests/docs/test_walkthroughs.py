"""docs/walkthroughs.md, walked through: each trouble is caused, every command entered, and its output compared."""

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.docs.account import Account, command_line, environment
from tests.docs.guide import PROJECT, Shell, is_shown
from tests.docs.installation import SERVICE, Copy, Installation, installation
from tests.stages.test_runbook import blocks
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]

PAGE = PROJECT / "docs" / "walkthroughs.md"
#: What happens (a comment), what is entered, and what is shown after it.
_STEP = re.compile(
    r"<!-- (?P<event>.+?) -->|```bash\n(?P<entered>.*?)```(?:\n\n```text\n(?P<shown>.*?)```)?", re.DOTALL
)
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))
#: Commands that change nothing: entered again until time has done its work.
_LOOKS = ("alarms", "query ", "run stuck", "curl ")
_ID = re.compile(r"\b(?:(?:att|pay|pi|mer)_|key_(?:LEAKED)?|9f2c)(?=\.\.\.)")


@dataclass
class Walk:
    """An operator in trouble."""

    made: Installation
    account: Account
    shell: Shell
    #: What an operator knows from elsewhere, such as the processor's dashboard: ids by their prefix.
    known: dict[str, str] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    backup: Copy | None = None
    #: The moment that is restored.
    until: datetime | None = None

    def enter(self, command: str, shown: str) -> None:
        """Enter a command, and compare what is printed with what the page shows."""
        command = _ID.sub(lambda found: self.known[found[0]], command).replace("...", "")
        if command.startswith(_LOOKS):
            wait_until(lambda: self._prints(command, shown), f"{command}to print\n{shown}")
        else:
            assert self._prints(command, shown), f"{command}has to print\n{shown}"

    def _prints(self, command: str, shown: str) -> bool:
        said = self.shell.enter(command)
        print(f"{command}{said}")  # noqa: T201 - pytest shows it where a test fails
        self._learn(said)
        return is_shown(shown, said) if shown else not said.strip()

    def _learn(self, said: str) -> None:
        for prefix, rest in re.findall(r"\b((?:att|pay|mer|key)_)(\w+)", said):
            self.known[prefix] = prefix + rest
        for at, head in re.findall(r'"@timestamp": "([^"]+)".*"head": "([0-9a-f]{64})"', said)[::-1]:
            if self.until is None or datetime.fromisoformat(at) <= self.until:
                self.known["9f2c"] = head


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("installation")) as found:
        yield found


@pytest.fixture
def walk(made: Installation, tmp_path: Path) -> Iterator[Walk]:
    with command_line(made, tmp_path) as account:
        shell = Shell(tmp_path, environment(made, tmp_path))
        shell.enter(blocks("Alarms"))
        for section, example in (
            ("Run a command in an environment", "\nrun stuck\n"),
            ("Rotate a secret", "\nrotate db-app"),
        ):
            shell.enter(blocks(section).partition(example)[0])
        found = Walk(made, account, shell)
        yield found
        found.stop.set()
        for thread in found.threads:
            thread.join()
        shell.close()


# ---- what happens ----------------------------------------
def lose_an_outcome(walk: Walk) -> None:
    walk.made.processor.faults, walk.made.processor.fault = {"confirm": ["lost"]}, "500"
    assert walk.made.pay().status_code == 202
    walk.made.age(31)
    looked_at = "SELECT 1 FROM attempts WHERE status = 'open' AND stuck_reason LIKE 'unknown: %'"
    wait_until(lambda: walk.made.sql(looked_at), "a look-up")
    later = "now() + interval '15 minutes'"
    walk.made.sql(f"UPDATE attempts SET next_look_at = {later}, deadline_at = now() WHERE status = 'open'")
    walk.known["pi_"] = list(walk.made.processor.intents)[-1]


def deploy_a_broken_release(walk: Walk) -> None:
    code = walk.made.folder / "release"
    shutil.copytree(SERVICE, code, ignore=shutil.ignore_patterns("__pycache__"))
    versions = code / "migrations" / "versions"
    last = max(versions.glob("[0-9]*.py"))
    number, text = last.stem.split("_")[0], last.read_text()
    previous = re.search(r'^revision = "(.+)"', text, re.MULTILINE)
    assert previous is not None
    new = f"{int(number) + 1:04}_add_a_column"
    text = re.sub(r"^(down_revision\b.*?= ).*$", rf'\1"{previous[1]}"', text, flags=re.MULTILINE)
    text = re.sub(
        r"^revision = .*$",
        f'revision = "{previous[1].replace(number, f"{int(number) + 1:04}")}"',
        text,
        flags=re.MULTILINE,
    )
    (versions / f"{new}.py").write_text(text.replace(last.stem, new))
    (versions / "sql" / f"{new}.sql").write_text("ALTER TABLE payment ADD COLUMN note text;\n")
    assert walk.made.deploy(code) == 3


def hang(walk: Walk) -> None:
    walk.made.processor.released.clear()
    walk.made.processor.fault = "hang"
    pay_all_the_time(walk, 8)
    wait_until(lambda: 503 in walk.statuses, "the circuit to open", timeout=60)
    walk.stop.set()
    walk.made.age(11)


def heal(walk: Walk) -> None:
    walk.made.processor.fault = ""
    walk.made.processor.released.set()


def use_the_key(walk: Walk) -> None:
    key = walk.made.secrets["live-api-key-dev"]["api_key"]
    assert walk.made.send("GET", "/v1/payments", key=key).status_code == 200
    assert walk.made.pay(key=key, amount=99_900).status_code == 201
    walk.shell.enter(f"LEAKED={key}")
    walk.known["key_LEAKED"] = walk.known["key_"]


def issue_a_processor_key(walk: Walk) -> None:
    keys = {"api_key": "sk_test_another", "webhook_secret": "whsec_another"}
    walk.shell.enter(f"cd {walk.made.folder}; echo '{json.dumps(keys)}' > keys.json")


def revoke_the_old_key(walk: Walk) -> None:
    walk.made.processor.api_key = walk.made.secrets["processor-keys-dev"]["api_key"]
    assert walk.made.pay().status_code == 201


def send_a_report(walk: Walk, *, wrong: bool = True) -> None:
    day = str(datetime.now(UTC).date())
    for amount in (1000, 2000, 3000) if wrong else ():
        assert walk.made.pay(amount=amount).status_code == 201
    lines = walk.made.processor.report(day)
    if wrong:
        del lines[-1]  # the last payment is missing,
        lines[-1] = lines[-1].replace(",2000,", ",1900,")  # the one before has another amount,
        lines.append(f"charge,pi_elsewhere,EUR,4200,0,{day}")  # and one is not ours
    (walk.made.folder / "report.csv").write_text("\n".join([*lines, ""]))


def pay_all_the_time(walk: Walk, crowd: int = 3) -> None:
    def pay() -> None:
        while not walk.stop.is_set():
            walk.statuses.append(walk.made.pay().status_code)

    walk.threads += [threading.Thread(target=pay) for _ in range(crowd)]
    for thread in walk.threads:
        thread.start()
    wait_until(lambda: walk.statuses, "a payment")


def go_on(walk: Walk) -> None:
    walk.statuses.clear()
    wait_until(lambda: walk.statuses[-3:] == [201] * 3, "payments after the failover")
    walk.stop.set()


def back_up_and_lose(walk: Walk) -> None:
    walk.made.pay().raise_for_status()
    wait_until(
        lambda: walk.made.sql(
            "SELECT 1 HAVING (SELECT sum(transfers) FROM ledger_seals) = (SELECT count(*) FROM ledger_transfers)"
        ),
        "a seal",
    )
    walk.until, walk.backup = datetime.now(UTC), walk.made.copy_database()
    sealed = walk.made.sql("SELECT count(*) FROM ledger_seals")
    assert walk.made.pay(amount=7700).status_code == 201
    wait_until(lambda: walk.made.sql("SELECT count(*) FROM ledger_seals") > sealed, "another seal")


def restore(walk: Walk) -> None:
    assert walk.backup is not None
    lost = walk.made.server
    walk.backup.start()
    walk.made.use_server(walk.backup)
    lost.stop()
    send_a_report(walk, wrong=False)


EVENTS: dict[str, Callable[[Walk], Any]] = {
    "the response to a payment is lost, and the processor does not find it": lose_an_outcome,
    "a release is deployed whose migration fails": deploy_a_broken_release,
    "the corrected release is deployed": lambda walk: walk.made.deploy(services=("api",)),
    "the processor hangs, and customers pay": hang,
    "the processor answers again": heal,
    "somebody else has the key, and uses it": use_the_key,
    "a new key is issued at the processor": issue_a_processor_key,
    "the old key is revoked": revoke_the_old_key,
    "the processor's report of the day arrives": send_a_report,
    "the processor sends a corrected report": lambda walk: send_a_report(walk, wrong=False),
    "customers pay all the time": pay_all_the_time,
    "they go on paying": go_on,
    "a backup exists, payments go on, and the database is damaged": back_up_and_lose,
    "the backup is restored under the old name": restore,
}


#: In two groups, each with an installation of its own; a restore needs the report that a reconciliation imports.
GROUPED = [pytest.param(name, marks=pytest.mark.xdist_group(f"walk-{n % 2}")) for n, name in enumerate(SECTIONS)]


@pytest.mark.parametrize("section", GROUPED)
def test_a_walk_through_leads_to_its_end(walk: Walk, section: str) -> None:
    for step in _STEP.finditer(SECTIONS[section]):
        if step["event"]:
            EVENTS[step["event"]](walk)
        else:
            walk.enter(step["entered"], step["shown"] or "")
    heal(walk)
