"""A stand-in for the emulated account's decisions, for tests of what the rehearsal asks it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import boto3.session

from rehearsal.account.authorization_client import DeniedError, Principals
from rehearsal.account.sessions import Credentials
from rehearsal.codepipeline.definition import Action, Pipeline, Stage
from rehearsal.codepipeline.roles import ActionRoles

PIPELINE_ROLE = "arn:aws:iam::000000000000:role/pipeline"
BUILD_ROLE = "arn:aws:iam::000000000000:role/build"
KEYS = Credentials(access_key_id="ASIATEST", secret_access_key="secret", session_token="token")


@dataclass(kw_only=True)
class Decisions:
    """Keeps what was asked, and denies the actions in `denied`."""

    denied: frozenset[str] = frozenset()
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def assume(self, role: str, *, service: str, session: str, context: Mapping[str, str] | None = None) -> Credentials:
        self._decide(service, "sts:AssumeRole", role)
        return KEYS

    def require(self, principal: str, action: str, resource: str = "*") -> None:
        self._decide(principal, action, resource)

    def verify_deliveries(self) -> None:
        self._decide("services", "deliver", "*")

    def _decide(self, *call: str) -> None:
        principal, action, resource = call
        self.asked.append((principal, action, resource))
        if action in self.denied:
            raise DeniedError(f"AccessDenied: {principal} is not authorized to perform {action} on {resource}")


def action_roles(decisions: Decisions | None = None, *sources: Action) -> ActionRoles:
    """Return the roles of a pipeline whose first stage has the given source actions."""
    return ActionRoles(
        pipeline=Pipeline(
            name="pipeline-main",
            stages=(Stage(name="Source", actions=sources), Stage(name="Build", actions=())),
            role_arn=PIPELINE_ROLE,
            artifact_bucket="artifacts",
        ),
        principals=cast("Principals", decisions or Decisions()),
        session_for=lambda _credentials: boto3.session.Session(region_name="us-east-1"),
    )
