"""Target groups: their targets, health checks and routing algorithms."""

import asyncio
import contextlib
import enum
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

_INITIAL_INTERVAL_SECONDS = 0.25
_MAX_INTERVAL_SECONDS = 5.0
_CONNECT_SECONDS = 10.0  # the connection time-out of an Application Load Balancer
_KEEP_ALIVE_SECONDS = 55.0  # below the idle time-out of targets, so that this side closes the connection


class TargetHealth(enum.Enum):
    """The health of a target, as ELBv2 names it."""

    INITIAL = "initial"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"


@dataclass(frozen=True, kw_only=True)
class TargetGroupSettings:
    """A target group; times are in seconds."""

    arn: str
    name: str
    protocol: str = "HTTPS"
    health_protocol: str = "HTTPS"
    health_path: str = "/"
    health_matcher: int = 200
    health_interval: float = 30
    health_timeout: float = 5
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2
    deregistration_delay: float = 300
    least_outstanding: bool = False


class Target:
    """An address and port of a target group; its certificate is not verified, as on AWS."""

    def __init__(self, settings: TargetGroupSettings, address: str, port: int) -> None:
        self.address = address
        self.port = port
        self.health = TargetHealth.INITIAL
        self.reason = "not checked yet"
        self.in_flight = 0
        self.healthy = asyncio.Event()
        self.unhealthy = asyncio.Event()
        self._settings = settings
        self._idle = asyncio.Event()
        self._idle.set()
        self.session = _session()
        self._checks = asyncio.create_task(self._check_health())

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"

    def begin_request(self) -> None:
        """Count a request that is in flight."""
        self.in_flight += 1
        self._idle.clear()

    def end_request(self) -> None:
        """Count a request that has ended."""
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()

    async def drain(self, limit: float) -> None:
        """Wait until no request is in flight, for at most `limit` seconds, and close the connections."""
        self.health = TargetHealth.DRAINING
        self._checks.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._checks
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._idle.wait()
        await self.session.close()

    async def _check_health(self) -> None:
        """Check as ELBv2 does, but more often until the first success; an initial target has the same time to pass."""
        loop = asyncio.get_running_loop()
        settings, successes, failures, first_failure = self._settings, 0, 0, 0.0
        while True:
            passed, now = await self._check(), loop.time()
            if passed:
                successes, failures = successes + 1, 0
                # An initial target needs one success, an unhealthy one the healthy threshold.
                if self.health is TargetHealth.INITIAL or successes >= settings.healthy_threshold:
                    self._set_health(TargetHealth.HEALTHY)
            else:
                successes, failures = 0, failures + 1
                first_failure = now if failures == 1 else first_failure
                lasted = now - first_failure >= self._interval() * (settings.unhealthy_threshold - 1)
                if failures >= settings.unhealthy_threshold and lasted:
                    self._set_health(TargetHealth.UNHEALTHY)
            first = self.health is TargetHealth.INITIAL
            await asyncio.sleep(_INITIAL_INTERVAL_SECONDS if first else self._interval())

    def _interval(self) -> float:
        """Return the declared interval for an initial target, since it sets its deadline; otherwise a shorter one."""
        declared = self._settings.health_interval
        if self.health is TargetHealth.INITIAL:
            return declared
        return min(declared, _MAX_INTERVAL_SECONDS)

    def _set_health(self, health: TargetHealth) -> None:
        self.health = health
        if health is TargetHealth.HEALTHY:
            self.healthy.set()
            self.unhealthy.clear()
        else:
            self.unhealthy.set()

    async def _check(self) -> bool:
        settings = self._settings
        url = f"{settings.health_protocol.lower()}://{self}{settings.health_path}"
        try:
            async with asyncio.timeout(settings.health_timeout):
                async with self.session.get(url, allow_redirects=False) as response:
                    await response.read()
        except TimeoutError:
            self.reason = f"{url} timed out after {settings.health_timeout:g} s"
        except (aiohttp.ClientError, OSError) as error:
            self.reason = f"{url}: {error}"
        else:
            self.reason = f"{url} returned {response.status}, expected {settings.health_matcher}"
            return response.status == settings.health_matcher
        return False


class TargetGroup:
    """One target group."""

    def __init__(self, settings: TargetGroupSettings) -> None:
        self.settings = settings
        self._targets: list[Target] = []
        self._turn = itertools.count()

    @property
    def targets(self) -> tuple[Target, ...]:
        """The registered targets without the draining ones."""
        return tuple(self._targets)

    def register(self, address: str, port: int) -> Target:
        """Register a target; it gets requests once it is healthy."""
        target = Target(self.settings, address, port)
        self._targets.append(target)
        return target

    async def deregister(self, target: Target, *, immediately: bool = False) -> None:
        """Stop routing to a target, and wait until its requests have ended or the deregistration delay is over."""
        if target in self._targets:
            self._targets.remove(target)
            await target.drain(0 if immediately else self.settings.deregistration_delay)

    def choose(self) -> Target | None:
        """Return the target for the next request; None when no target can serve.

        When all targets are unhealthy every one of them is used: an Application Load Balancer fails open.
        """
        candidates = [target for target in self._targets if target.health is TargetHealth.HEALTHY]
        candidates = candidates or [target for target in self._targets if target.health is TargetHealth.UNHEALTHY]
        if not candidates:
            return None
        if self.settings.least_outstanding:
            return min(candidates, key=lambda target: target.in_flight)
        return candidates[next(self._turn) % len(candidates)]

    async def close(self) -> None:
        """Deregister every target."""
        await asyncio.gather(*(self.deregister(target, immediately=True) for target in self.targets))


class TargetGroups:
    """The target groups, by ARN; a group keeps its targets when its settings change."""

    def __init__(self) -> None:
        self._groups: dict[str, TargetGroup] = {}

    def get(self, arn: str) -> TargetGroup | None:
        """Return a group; None when it does not exist."""
        return self._groups.get(arn)

    async def synchronize(self, settings: Mapping[str, TargetGroupSettings]) -> None:
        """Create, change and remove groups until they are as described."""
        for arn, group in settings.items():
            if arn in self._groups:
                self._groups[arn].settings = group
            else:
                self._groups[arn] = TargetGroup(group)
        for arn in set(self._groups) - set(settings):
            await self._groups.pop(arn).close()

    async def close(self) -> None:
        """Remove every group."""
        await self.synchronize({})


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=False, limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
    )
