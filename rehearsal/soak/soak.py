"""One soak: deploy, warm up, leave alone, use lightly, judge."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rehearsal.account import Account
from rehearsal.compute.services import ContainerStatus, ServiceStatus
from rehearsal.soak import logs, verdict
from rehearsal.soak.alarms import deployed_alarms, judge
from rehearsal.soak.load import Client
from rehearsal.soak.memory import Memory
from rehearsal.soak.options import Options
from rehearsal.soak.stage import Deployed, deploy_first_stage
from rehearsal.soak.verdict import Finding

_WARM_UP_PAYMENTS = 10
_SAMPLES = 60
_LEAST_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Soak:
    """`run` it; the account is the caller's to close. `deploy` is how; `say` shows a line of progress."""

    account: Account
    options: Options
    deploy: Callable[[Account], Deployed] = deploy_first_stage
    say: Callable[[str], None] = lambda _line: None

    def run(self) -> list[Finding]:
        """Deploy the first stage, watch it for the time that was asked for, and answer what was found.

        Raises:
            SetupError: it could not be deployed.
        """
        self.say("Deploying the first stage ...")
        deployed = self.deploy(self.account)
        client, memory = Client(deployed), Memory()
        for _ in range(_WARM_UP_PAYMENTS):
            client.pay()
        half = self.options.seconds / 2
        self.say(f"Leaving it alone for {half:.0f} s ...")
        self._wait(half, memory)
        self.say(f"Using it lightly for {half:.0f} s ...")
        with client.paying():
            self._wait(half, memory)
        after = self.account.runtime.status().services
        alarms = deployed_alarms(self.account.session.client("cloudformation"))
        data = logs.metrics(self._logs())
        return [
            *verdict.tasks(after),
            *verdict.health(after),
            *verdict.alarms([judge(alarm, data, time_scale=self.options.time_scale) for alarm in alarms]),
            *verdict.memory(memory.growth(_containers(after))),
            verdict.answers(client.answers),
            verdict.errors(logs.errors(self._logs())),
        ]

    def _wait(self, seconds: float, memory: Memory) -> None:
        """Wait, and measure memory now and then."""
        end = time.monotonic() + seconds
        pause = max(seconds / _SAMPLES, _LEAST_PAUSE_SECONDS)
        while (left := end - time.monotonic()) > 0 and not self.account.cancelled.wait(min(pause, left)):
            memory.sample(_containers(self.account.runtime.status().services))

    def _logs(self) -> Iterator[Path]:
        """The log of every container that there was."""
        folder = self.account.workspace.run / "compute" / "logs"
        return (file for file in sorted(folder.glob("*.*-*.log")) if not file.name.endswith(".health.log"))


def _containers(services: Sequence[ServiceStatus]) -> list[ContainerStatus]:
    return [container for service in services for container in service.containers]
