"""Assume roles in the emulated account, and have calls authorized that the rehearsal does not really make."""

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rehearsal.account.sessions import Credentials, endpoint_url

_TIMEOUT_SECONDS = 30.0


class CallDeniedError(Exception):
    """The deployed policies deny a call; the message names principal, action, resource and the missing statement."""


@dataclass(frozen=True, kw_only=True)
class AuthorizationClient:
    """Client of the emulator's authorization API (`rehearsal.emulator.apis.authorization`)."""

    port: int

    def assume(self, role: str, *, service: str, session: str, context: Mapping[str, str] | None = None) -> Credentials:
        """Return credentials of a role for an AWS service.

        Args:
            role: The ARN of the role.
            service: The service principal, such as `ecs-tasks.amazonaws.com`.
            session: The name of the role session.
            context: Condition keys that the service sends, such as `aws:SourceArn`.

        Raises:
            CallDeniedError: The role does not trust the service.

        """
        body = {"role": role, "service": service, "session": session, "context": context or {}}
        return Credentials(**self._post("credentials", body))

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
        """Authorize a call.

        Args:
            principal: The ARN of a role or user, or a service principal.
            action: The IAM action.
            resource: The ARN that the call is about.
            context: Condition keys of the request.
            region: The region of the request; the default region without one.
            resource_policy: The policy of something without an ARN of its own that the call passes: a VPC endpoint.

        Raises:
            CallDeniedError: The policies do not allow the call.

        """
        call = {"principal": principal, "action": action, "resource": resource, "context": context or {}}
        self._post("decide", {**call, "region": region, "resource_policy": resource_policy})

    def verify_service_calls(self) -> None:
        """Authorize the calls that AWS services will make in their own name with the resources that exist now.

        On AWS a deployment does not reveal them: an alarm that may not publish to its topic stays silent.

        Raises:
            CallDeniedError: Some calls are denied; the message lists all of them.

        """
        denials = self._post("service-calls", {})["denials"]
        if denials:
            raise CallDeniedError("\n".join(denials))

    def decisions(self) -> "Decisions":
        """Return every decision since the emulator started."""
        response = self._post("decisions", {})
        return Decisions(entries=tuple(response["decisions"]), undecided=response["undecided"])

    def policies(self) -> Mapping[str, Any]:
        """Return the policy documents of the account, under `principals` and `resources`."""
        policies: Mapping[str, Any] = self._post("policies", {})
        return policies

    def _post(self, operation: str, body: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the emulator's loopback address
            f"{endpoint_url(self.port)}/_rehearsal/{operation}", data=json.dumps(body).encode(), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310 - see above
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise CallDeniedError(json.load(error)["message"]) from error


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Decided calls, and how many requests of which kind no policy decided.

    Every entry has `principal`, `action`, `resource`, `context`, `allowed`, `reason`, `by` and `count`.
    """

    entries: tuple[Mapping[str, Any], ...] = ()
    undecided: Mapping[str, int] = field(default_factory=dict)

    def count_by_principal(self) -> dict[str, int]:
        """Return the number of calls by principal name, the sessions of a role together, highest first."""
        counts: Counter[str] = Counter()
        for entry in self.entries:
            counts[principal_name(entry["principal"])] += entry["count"]
        return dict(counts.most_common())

    def denials(self) -> list[str]:
        """Return the reasons of all denied calls, each with the missing statement, in order."""
        return [entry["reason"] for entry in self.entries if not entry["allowed"]]


def principal_name(principal: str) -> str:
    """Return the name of a role or user without its session; a service principal unchanged."""
    return principal.split("/")[1] if "/" in principal else principal
