"""A stub of the emulated account's authorization, which records the calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import boto3.session

from rehearsal.account.authorization_client import AuthorizationClient, CallDeniedError
from rehearsal.account.sessions import Credentials
from rehearsal.codepipeline.definition import Action, Pipeline, Stage
from rehearsal.codepipeline.roles import ActionRoles

PIPELINE_ROLE = "arn:aws:iam::000000000000:role/pipeline"
BUILD_ROLE = "arn:aws:iam::000000000000:role/build"
CREDENTIALS = Credentials(access_key_id="ASIATEST", secret_access_key="secret", session_token="token")


@dataclass(kw_only=True)
class AuthorizationStub:
    """Records every call (principal, action, resource), and denies the actions in `denied`."""

    denied: frozenset[str] = frozenset()
    calls: list[tuple[str, str, str]] = field(default_factory=list)

    def assume(self, role: str, *, service: str, session: str, context: Mapping[str, str] | None = None) -> Credentials:
        self._decide(service, "sts:AssumeRole", role)
        return CREDENTIALS

    def require(self, principal: str, action: str, resource: str = "*") -> None:
        self._decide(principal, action, resource)

    def verify_service_calls(self) -> None:
        self._decide("services", "service calls", "*")

    def _decide(self, principal: str, action: str, resource: str) -> None:
        self.calls.append((principal, action, resource))
        if action in self.denied:
            raise CallDeniedError(f"AccessDenied: {principal} is not authorized to perform {action} on {resource}")


def action_roles(authorization: AuthorizationStub | None = None, *sources: Action) -> ActionRoles:
    """Return the roles of a pipeline whose first stage has these source actions."""
    return ActionRoles(
        pipeline=Pipeline(
            name="pipeline-main",
            stages=(Stage(name="Source", actions=sources), Stage(name="Build", actions=())),
            role_arn=PIPELINE_ROLE,
            artifact_bucket="artifacts",
        ),
        authorization=cast("AuthorizationClient", authorization or AuthorizationStub()),
        open_session=lambda _credentials: boto3.session.Session(region_name="us-east-1"),
    )
