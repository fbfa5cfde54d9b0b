"""The promises of a soak, each with what was observed."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from local.soak.alarms import AlarmState
from local.soak.load import Responses
from local.soak.memory import MIN_TOLERANCE_MIB, TOLERANCE, Growth
from rehearsal.ecs.containers import Health
from rehearsal.ecs.services import ServiceStatus

_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A promise: kept, broken, or (None) not decidable locally."""

    promise: str
    kept: bool | None
    seen: str


def tasks(services: Sequence[ServiceStatus]) -> list[Finding]:
    """Return whether no task of a service was replaced."""
    return [
        Finding(
            promise=f"no task of {each.name} is replaced",
            kept=each.started == each.desired == each.running and not each.failures,
            seen="; ".join(
                [
                    f"{each.running} of {each.desired} are running, {each.started} were started",
                    *map(_cause, each.failures[:_SHOWN]),
                ]
            ),
        )
        for each in services
    ]


def _cause(reason: str) -> str:
    """Return a reason without the end of the log in it."""
    return reason.partition("; end of ")[0]


def health(services: Sequence[ServiceStatus]) -> list[Finding]:
    """Return whether every container is healthy."""
    return [
        Finding(
            promise=f"{each.name} {each.task} is healthy",
            kept=each.health.health is Health.HEALTHY,
            seen=(
                f"{each.health.checks} checks, {each.health.failures} failed, "
                f"{each.health.most_consecutive_failures} consecutively"
            ),
        )
        for service in services
        for each in service.containers
    ]


def alarms(states: Sequence[AlarmState]) -> list[Finding]:
    """Return whether no alarm went off."""
    return [
        Finding(
            promise=f"{each.alarm} is silent",
            kept=None if each.went_off is None else not each.went_off,
            seen=each.detail,
        )
        for each in states
    ]


def memory(growth: Sequence[Growth]) -> list[Finding]:
    """Return whether memory is flat."""
    limit = f"at most {TOLERANCE:.0%} or {MIN_TOLERANCE_MIB:g} MiB more"
    return [
        Finding(
            promise=f"memory of {each.container} is flat",
            kept=each.is_flat,
            seen=f"{each.early:.1f} MiB, then {each.late:.1f} MiB ({limit})",
        )
        for each in growth
    ] or [Finding(promise="memory is flat", kept=False, seen="nothing was measured")]


def responses(found: Responses) -> Finding:
    """Return whether every request succeeded."""
    slowest = f", 99 % within {quantiles(found.seconds, n=100)[98]:.2f} s" if len(found.seconds) > 1 else ""
    return Finding(
        promise="every request succeeds",
        kept=bool(found.seconds) and not found.failed,
        seen="; ".join(
            [f"{len(found.seconds)} succeeded{slowest}, {len(found.failed)} failed", *found.failed[:_SHOWN]]
        ),
    )


def errors(lines: Sequence[str]) -> Finding:
    """Return whether no error was logged."""
    shown = [line[:300] for line in lines[:_SHOWN]]
    return Finding(promise="no error is logged", kept=not lines, seen="; ".join([f"{len(lines)} lines", *shown]))
