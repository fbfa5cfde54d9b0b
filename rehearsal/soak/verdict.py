"""What a soak promises, each promise with what was seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from rehearsal.compute.containers import Health
from rehearsal.compute.services import ServiceStatus
from rehearsal.soak.alarms import Judgement
from rehearsal.soak.load import Answers
from rehearsal.soak.memory import LEAST_TOLERANCE_MIB, TOLERANCE, Growth

_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One promise: kept or broken, or (None) nothing that could be decided here."""

    promise: str
    kept: bool | None
    seen: str


def tasks(services: Sequence[ServiceStatus]) -> list[Finding]:
    """No task of any service was ever replaced."""
    return [
        Finding(
            promise=f"no task of {each.name} is replaced",
            kept=each.started == each.desired == each.running and not each.failures,
            seen="; ".join(
                [
                    f"{each.running} of {each.desired} run, {each.started} were started",
                    *map(_cause, each.failures[:_SHOWN]),
                ]
            ),
        )
        for each in services
    ]


def _cause(reason: str) -> str:
    """A reason without the end of the log that goes with it."""
    return reason.partition("; the end of ")[0]


def health(services: Sequence[ServiceStatus]) -> list[Finding]:
    """Every container with a health check is healthy, and its checks ran."""
    return [
        Finding(
            promise=f"{each.name} {each.task} is healthy",
            kept=each.health.health is Health.HEALTHY,
            seen=f"{each.health.checks} checks, {each.health.failed} failed, {each.health.most_in_a_row} in a row",
        )
        for service in services
        for each in service.containers
    ]


def alarms(judgements: Sequence[Judgement]) -> list[Finding]:
    """No alarm goes off."""
    return [
        Finding(
            promise=f"{each.alarm} is silent",
            kept=None if each.went_off is None else not each.went_off,
            seen=each.detail,
        )
        for each in judgements
    ]


def memory(growth: Sequence[Growth]) -> list[Finding]:
    """Memory is flat."""
    limit = f"at most {TOLERANCE:.0%} or {LEAST_TOLERANCE_MIB:g} MiB more"
    return [
        Finding(
            promise=f"memory of {each.container} is flat",
            kept=each.is_flat,
            seen=f"{each.early:.1f} MiB, then {each.late:.1f} MiB ({limit})",
        )
        for each in growth
    ] or [Finding(promise="memory is flat", kept=False, seen="nothing could be measured")]


def answers(found: Answers) -> Finding:
    """Every request is answered."""
    slowest = f", 99 % within {quantiles(found.seconds, n=100)[98]:.2f} s" if len(found.seconds) > 1 else ""
    return Finding(
        promise="every request is answered well",
        kept=bool(found.seconds) and not found.failed,
        seen="; ".join([f"{len(found.seconds)} were{slowest}, {len(found.failed)} were not", *found.failed[:_SHOWN]]),
    )


def errors(lines: Sequence[str]) -> Finding:
    """Nothing is logged as an error."""
    shown = [line[:300] for line in lines[:_SHOWN]]
    return Finding(promise="no error is logged", kept=not lines, seen="; ".join([f"{len(lines)} lines", *shown]))
