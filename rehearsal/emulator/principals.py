"""Act as somebody in the emulated account: credentials of roles, and decisions on calls that are only played."""

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rehearsal.emulator.client import Credentials, endpoint_url

_TIMEOUT = 30.0


class DeniedError(Exception):
    """The deployed policies do not allow it; the message names principal, action, resource and missing statement."""


@dataclass(frozen=True, kw_only=True)
class Principals:
    """The questions of `rehearsal.emulator.apis.authorization`, asked from outside of the emulator's process."""

    port: int

    def assume(self, role: str, *, service: str, session: str, context: Mapping[str, str] | None = None) -> Credentials:
        """Return credentials of a role for the service that works as it.

        `session` is the session's name, `context` the condition keys that the service sends (`aws:SourceArn`).

        Raises:
            DeniedError: the role does not trust the service.
        """
        given = self._ask(
            "credentials", {"role": role, "service": service, "session": session, "context": context or {}}
        )
        return Credentials(**given)

    def require(
        self,
        principal: str,
        action: str,
        resource: str = "*",
        *,
        context: Mapping[str, str] | None = None,
        region: str | None = None,
        resource_policy: Mapping[str, Any] | None = None,
    ) -> None:
        """Have a call decided that happens on AWS and that the rehearsal only plays.

        `resource_policy` stands for that of something between, which has no ARN of its own: a VPC endpoint's.

        Raises:
            DeniedError: it is not allowed.
        """
        call = {"principal": principal, "action": action, "resource": resource, "context": context or {}}
        self._ask("decide", {**call, "region": region, "resource_policy": resource_policy})

    def verify_deliveries(self) -> None:
        """Have everything decided that services will do in their own name with what stands in the account now.

        On AWS a deployment does not show these: an alarm that may not publish to its topic stays silent.

        Raises:
            DeniedError: something is not allowed; the message lists all of it.
        """
        denials = self._ask("deliveries", {})["denials"]
        if denials:
            raise DeniedError("\n".join(denials))

    def decisions(self) -> "Decisions":
        """Return what was decided since the emulator started."""
        found = self._ask("decisions", {})
        return Decisions(entries=tuple(found["decisions"]), undecided=found["undecided"])

    def policies(self) -> Mapping[str, Any]:
        """Return the policies of the account: `principals` and `resources` with their documents."""
        found: Mapping[str, Any] = self._ask("policies", {})
        return found

    def _ask(self, question: str, body: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(  # noqa: S310  our own loopback address
            f"{endpoint_url(self.port)}/_rehearsal/{question}", data=json.dumps(body).encode(), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise DeniedError(json.load(error)["message"]) from error


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Every call once: `principal`, `action`, `resource`, `context`, `allowed`, `reason`, `by`, `count`."""

    entries: tuple[Mapping[str, Any], ...] = ()
    undecided: Mapping[str, int] = field(default_factory=dict)

    def by_principal(self) -> dict[str, int]:
        """Return how many calls each principal made, sessions of one role together, the busiest first."""
        counts: Counter[str] = Counter()
        for entry in self.entries:
            counts[principal_name(entry["principal"])] += entry["count"]
        return dict(counts.most_common())

    def denials(self) -> list[str]:
        """Return a line for each call that was denied, with the missing statement, in the order of their first time."""
        return [entry["reason"] for entry in self.entries if not entry["allowed"]]


def principal_name(principal: str) -> str:
    """Return the name of a role or user, whichever session of it; a service principal as it is."""
    return principal.split("/")[1] if "/" in principal else principal
