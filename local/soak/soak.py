"""A soak: deploy, warm up, leave alone, use lightly, evaluate."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.soak import findings, logs
from local.soak.alarms import deployed_alarms, evaluate
from local.soak.findings import Finding
from local.soak.load import Client
from local.soak.memory import Memory
from local.soak.options import Options
from local.soak.stage import DeployedApi, deploy_first_stage
from rehearsal.ecs.services import ContainerStatus, ServiceStatus
from rehearsal.runner.emulated_account import EmulatedAccount

_WARM_UP_PAYMENTS = 10
_SAMPLES = 60
_MIN_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Soak:
    """One soak."""

    #: The account, which the caller closes.
    account: EmulatedAccount
    options: Options
    #: Deploys the stage.
    deploy: Callable[[EmulatedAccount], DeployedApi] = deploy_first_stage
    #: Called with lines of progress.
    say: Callable[[str], None] = lambda _line: None

    def run(self) -> list[Finding]:
        """Deploy the stage, observe it, and return the findings.

        Raises:
            SetupError: The deployment failed.

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
            *findings.tasks(after),
            *findings.health(after),
            *findings.alarms([evaluate(alarm, data, time_scale=self.options.time_scale) for alarm in alarms]),
            *findings.memory(memory.growth(_containers(after))),
            findings.responses(client.responses),
            findings.errors(logs.errors(self._logs())),
        ]

    def _wait(self, seconds: float, memory: Memory) -> None:
        """Wait, sampling memory."""
        end = time.monotonic() + seconds
        pause = max(seconds / _SAMPLES, _MIN_PAUSE_SECONDS)
        while (left := end - time.monotonic()) > 0 and not self.account.cancelled.wait(min(pause, left)):
            memory.sample(_containers(self.account.runtime.status().services))

    def _logs(self) -> Iterator[Path]:
        """Return the logs of all containers."""
        folder = self.account.workspace.run / "compute" / "logs"
        return (file for file in sorted(folder.glob("*.*-*.log")) if not file.name.endswith(".health.log"))


def _containers(services: Sequence[ServiceStatus]) -> list[ContainerStatus]:
    return [container for service in services for container in service.containers]
