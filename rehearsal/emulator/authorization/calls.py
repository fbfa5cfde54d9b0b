"""A call that somebody makes on AWS, and what the policies say of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ContextValue = str | Sequence[str]
"""What a condition key holds in a request: one value, or several."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One action of one principal on one resource.

    `principal` is the ARN of a role, a role's session or a user, or a service principal (`sns.amazonaws.com`).
    `context` holds condition keys beyond those that the evaluation knows by itself (account, region, principal).
    """

    principal: str
    action: str
    resource: str = "*"
    context: Mapping[str, ContextValue] = field(default_factory=dict)

    @property
    def is_by_service(self) -> bool:
        """Whether an AWS service makes it in its own name, so that only the resource's own policy can allow it.

        Some services do so from an account of AWS's own, whose root the policy names.
        """
        return not self.principal.startswith("arn:") or self.principal.endswith(":root")

    def key(self) -> str:
        """Equal for equal calls."""
        return json.dumps([self.principal, self.action, self.resource, self.context], sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class Policies:
    """The documents that decide one call, as they stand in the account.

    `identity` are the principal's own policies by name, `boundary` limits them, and `resource` is the resource's own
    policy: None when it has none.
    """

    identity: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    boundary: Mapping[str, object] | None = None
    resource: Mapping[str, object] | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What became of a call; `reason` says which kind of policy decided.

    `lacking_in_resource` says that only the resource's own policy stands in the way.
    """

    call: Call
    allowed: bool
    reason: str
    lacking_in_resource: bool = False


class AccessDeniedError(Exception):
    """A call that the deployed policies do not allow; the message ends with the statement that is missing."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        call = decision.call
        super().__init__(
            f"AccessDenied: {call.principal} is not authorized to perform {call.action} on {call.resource}"
            f" ({decision.reason}). {missing_statement(call, in_resource=decision.lacking_in_resource)}"
        )


def missing_statement(call: Call, *, in_resource: bool = False) -> str:
    """Say which statement would allow the call, and where it belongs."""
    statement: dict[str, object] = {"Effect": "Allow", "Action": call.action, "Resource": call.resource}
    if not call.is_by_service and not in_resource:
        return f"Missing in the policies of {call.principal}: {json.dumps(statement)}"
    statement["Principal"] = {"AWS" if call.principal.startswith("arn:") else "Service": call.principal}
    return f"Missing in the policy of {call.resource}: {json.dumps(statement)}"
