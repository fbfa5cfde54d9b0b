"""Authorizes calls by the policies of the emulated account, and logs the decisions."""

import contextlib
import importlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rehearsal.emulator.authorization import documents, evaluation
from rehearsal.emulator.authorization.calls import AccessDeniedError, Call, ContextValue, Decision
from rehearsal.emulator.authorization.decision_log import DecisionLog
from rehearsal.emulator.authorization.documents import UnknownPrincipalError
from rehearsal.emulator.authorization.implied import implied_calls
from rehearsal.emulator.authorization.keys import EncryptionKeys
from rehearsal.emulator.core import ministack

_SESSION_SECONDS = 12 * 3600


def policy_owner(action: str, resource: str) -> str:
    """Return the owner of the resource policy: the resource, the bucket of an object, or `logs` for CloudWatch Logs."""
    if action.startswith("logs:"):
        return "logs"
    return resource.partition("/")[0] if action.startswith("s3:") else resource


class Authority:
    """Authorizes calls in the account and region of the current request."""

    def __init__(self) -> None:
        self.decision_log = DecisionLog()
        self.keys = EncryptionKeys()

    def decide(self, call: Call, *, by: str, resource_policy: documents.Document | None = None) -> Decision:
        """Decide a call and the calls that it implies, up to the first denial.

        Args:
            call: The call.
            by: The origin of the call, for the log: request, cloudformation or service.
            resource_policy: The policy of a resource that is about to be created.

        """
        for each in (call, *implied_calls(call, self.keys)):
            decision = self._decide(each, resource_policy if each is call else None)
            self.decision_log.add(decision, by=by)
            if not decision.allowed:
                return decision
        return decision

    def require(self, call: Call, *, by: str, resource_policy: documents.Document | None = None) -> None:
        """Require that a call is allowed; see `decide`.

        Raises:
            AccessDeniedError: It is denied.

        """
        decision = self.decide(call, by=by, resource_policy=resource_policy)
        if not decision.allowed:
            raise AccessDeniedError(decision)

    def require_any(self, calls: Sequence[Call], *, by: str) -> None:
        """Require that one of several calls is allowed; only the first allowed one is logged.

        Raises:
            AccessDeniedError: All are denied; the message is about the first one.

        """
        decisions = [self._decide(call, None) for call in calls]
        chosen = next((decision for decision in decisions if decision.allowed), decisions[0])
        self.decision_log.add(chosen, by=by)
        if not chosen.allowed:
            raise AccessDeniedError(chosen)

    def assume(self, role: str, *, service: str, session: str, context: Mapping[str, ContextValue]) -> dict[str, str]:
        """Return credentials of a role for a service.

        Raises:
            AccessDeniedError: The role does not trust the service.

        """
        self.require(Call(principal=service, action="sts:AssumeRole", resource=role, context=context), by="service")
        _, name = documents.principal_of(role)
        access_key, secret, token = f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20), secrets.token_hex(32)
        importlib.import_module("ministack.services.sts").register_session(
            access_key,
            {
                "Arn": f"arn:aws:sts::{ministack.account_id()}:assumed-role/{name}/{session}",
                "UserId": f"{name}:{session}",
                "SecretAccessKey": secret,
                "SessionToken": token,
                "Expiration": time.time() + _SESSION_SECONDS,
            },
        )
        return {"access_key_id": access_key, "secret_access_key": secret, "session_token": token}

    def snapshot(self) -> dict[str, Any]:
        """Return the policies of every role, and of every resource that a call was allowed on, as JSON."""
        allowed = [entry for entry in self.decision_log.entries() if entry["allowed"]]
        owners = {
            *documents.roles(),
            *(entry["principal"] for entry in allowed if entry["principal"].startswith("arn:")),
        }
        identities = {}
        for principal in sorted({evaluation.role_arn(owner) for owner in owners}):
            with contextlib.suppress(UnknownPrincipalError):  # the role is deleted by now
                found = documents.policies_for(Call(principal=principal, action="sts:GetCallerIdentity"))
                identities[principal] = {"identity": found.identity, "boundary": found.boundary}
        resources = {}
        for entry in allowed:
            policy = documents.resource_policy(entry["action"], entry["resource"])
            if policy is not None:
                resources[policy_owner(entry["action"], entry["resource"])] = policy
        return {"account": ministack.account_id(), "principals": identities, "resources": resources}

    @staticmethod
    def _decide(call: Call, resource_policy: documents.Document | None) -> Decision:
        try:
            policies = documents.policies_for(call)
        except UnknownPrincipalError as error:
            return Decision(call=call, allowed=False, reason=str(error))
        if resource_policy is not None:
            policies = replace(policies, resource=resource_policy)
        return evaluation.decide(call, policies, account=ministack.account_id(), region=ministack.region())
