"""What the generator is asked to send, and what it reports."""

from dataclasses import dataclass, field

#: What the generator writes once it is connected. It then waits for a line before it begins.
READY = "ready\n"


@dataclass(frozen=True, kw_only=True)
class Work:
    """One block of load."""

    port: int
    #: The name of a flow; see `flows`.
    flow: str
    seconds: float
    #: Connections, each with one request in flight at a time.
    connections: int
    #: API keys, used in turn.
    keys: tuple[str, ...]
    #: Flows begun a second, whether or not earlier ones have been answered; `None` for a closed loop.
    rate: float | None = None
    #: Identifiers that reads ask for.
    payments: tuple[str, ...] = ()
    #: Stop after so many flows, if the time is not over before.
    flows: int | None = None


@dataclass(kw_only=True)
class Done:
    """What became of a block."""

    #: Seconds from the first request to the last response.
    elapsed: float = 0.0
    #: Flows whose every step was answered as expected.
    succeeded: int = 0
    #: Requests with another response, by what it was.
    failures: dict[str, int] = field(default_factory=dict)
    #: Milliseconds of each flow: from the first byte in a closed loop, from the intended start in an open one.
    latencies: list[float] = field(default_factory=list)
    #: Milliseconds that each flow of an open loop was begun late by, because all connections were busy.
    lateness: list[float] = field(default_factory=list)
    #: Processor time of the generator.
    processor_seconds: float = 0.0
