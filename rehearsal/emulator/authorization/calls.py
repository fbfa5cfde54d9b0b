"""Calls, policies and decisions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: The value of a condition key: one, or several.
ContextValue = str | Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Call:
    """An action of a principal on a resource."""

    #: The ARN of a role, role session or user, or a service principal such as `sns.amazonaws.com`.
    principal: str
    action: str
    resource: str = "*"
    #: Condition keys in addition to account, region and principal.
    context: Mapping[str, ContextValue] = field(default_factory=dict)

    @property
    def is_by_service(self) -> bool:
        """Whether an AWS service makes it in its own name, so that only the resource policy can allow it.

        Some services call from an account of AWS, whose root the policy names.
        """
        return not self.principal.startswith("arn:") or self.principal.endswith(":root")

    def key(self) -> str:
        """Return a key that is equal for equal calls."""
        return json.dumps([self.principal, self.action, self.resource, self.context], sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class Policies:
    """The policy documents that decide a call."""

    #: The identity policies of the principal, by name.
    identity: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    #: The permissions boundary of the principal, if it has one.
    boundary: Mapping[str, object] | None = None
    #: The resource policy; None without one.
    resource: Mapping[str, object] | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The decision about a call."""

    call: Call
    allowed: bool
    #: Which kind of policy decided.
    reason: str
    #: Whether only the resource policy does not allow it.
    missing_in_resource: bool = False


class AccessDeniedError(Exception):
    """The deployed policies deny a call; the message ends with the missing statement."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        call = decision.call
        super().__init__(
            f"AccessDenied: {call.principal} is not authorized to perform {call.action} on {call.resource}"
            f" ({decision.reason}). {missing_statement(call, in_resource=decision.missing_in_resource)}"
        )


def missing_statement(call: Call, *, in_resource: bool = False) -> str:
    """Return the statement that would allow a call, and the policy that it belongs to."""
    statement: dict[str, object] = {"Effect": "Allow", "Action": call.action, "Resource": call.resource}
    if not call.is_by_service and not in_resource:
        return f"Missing in the policies of {call.principal}: {json.dumps(statement)}"
    statement["Principal"] = {"AWS" if call.principal.startswith("arn:") else "Service": call.principal}
    return f"Missing in the policy of {call.resource}: {json.dumps(statement)}"
