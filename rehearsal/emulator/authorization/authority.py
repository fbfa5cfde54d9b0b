"""Decides calls by the policies of the emulated account, and remembers what it decided."""

import contextlib
import importlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rehearsal.emulator import backend
from rehearsal.emulator.authorization import documents, evaluation
from rehearsal.emulator.authorization.calls import AccessDeniedError, Call, ContextValue, Decision
from rehearsal.emulator.authorization.documents import UnknownPrincipalError
from rehearsal.emulator.authorization.implied import implied_calls
from rehearsal.emulator.authorization.journal import Journal
from rehearsal.emulator.authorization.keys import EncryptionKeys

_SESSION_SECONDS = 12 * 3600


def policy_owner(action: str, resource: str) -> str:
    """Name whose policy is meant: the resource's, its bucket's for an object, the account's own for logs."""
    if action.startswith("logs:"):
        return "logs"
    return resource.partition("/")[0] if action.startswith("s3:") else resource


class Authority:
    """Who may do what, in the account and region of the current request."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.keys = EncryptionKeys()

    def decide(self, call: Call, *, by: str, resource_policy: documents.Document | None = None) -> Decision:
        """Decide a call and what it implies; the first denial counts.

        `resource_policy` stands in for that of a resource which is only about to be made or changed.
        """
        for one in (call, *implied_calls(call, self.keys)):
            decision = self._decide(one, resource_policy if one is call else None)
            self.journal.add(decision, by=by)
            if not decision.allowed:
                return decision
        return decision

    def require(self, call: Call, *, by: str, resource_policy: documents.Document | None = None) -> None:
        """Decide a call.

        Raises:
            AccessDeniedError: it is not allowed.
        """
        decision = self.decide(call, by=by, resource_policy=resource_policy)
        if not decision.allowed:
            raise AccessDeniedError(decision)

    def require_any(self, calls: Sequence[Call], *, by: str) -> None:
        """Decide alternatives, of which one is enough; only the one that counts is remembered.

        Raises:
            AccessDeniedError: none is allowed; the message is about the first.
        """
        decisions = [self._decide(call, None) for call in calls]
        chosen = next((decision for decision in decisions if decision.allowed), decisions[0])
        self.journal.add(chosen, by=by)
        if not chosen.allowed:
            raise AccessDeniedError(chosen)

    def assume(self, role: str, *, service: str, session: str, context: Mapping[str, ContextValue]) -> dict[str, str]:
        """Return credentials of a role for a service, as STS gives them to it.

        Raises:
            AccessDeniedError: the role's trust policy does not name the service.
        """
        self.require(Call(principal=service, action="sts:AssumeRole", resource=role, context=context), by="service")
        _, name = documents.principal_of(role)
        access_key, secret, token = f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20), secrets.token_hex(32)
        importlib.import_module("ministack.services.sts").register_session(
            access_key,
            {
                "Arn": f"arn:aws:sts::{backend.account_id()}:assumed-role/{name}/{session}",
                "UserId": f"{name}:{session}",
                "SecretAccessKey": secret,
                "SessionToken": token,
                "Expiration": time.time() + _SESSION_SECONDS,
            },
        )
        return {"access_key_id": access_key, "secret_access_key": secret, "session_token": token}

    def snapshot(self) -> dict[str, Any]:
        """Return the policies of every role and those of every resource that a call was allowed on, as JSON."""
        allowed = [entry for entry in self.journal.entries() if entry["allowed"]]
        owners = {*documents.roles(), *(one["principal"] for one in allowed if one["principal"].startswith("arn:"))}
        identities = {}
        for principal in sorted({evaluation.role_arn(owner) for owner in owners}):
            with contextlib.suppress(UnknownPrincipalError):  # a role of before that is deleted by now
                found = documents.policies_for(Call(principal=principal, action="sts:GetCallerIdentity"))
                identities[principal] = {"identity": found.identity, "boundary": found.boundary}
        resources = {}
        for entry in allowed:
            policy = documents.resource_policy(entry["action"], entry["resource"])
            if policy is not None:
                resources[policy_owner(entry["action"], entry["resource"])] = policy
        return {"account": backend.account_id(), "principals": identities, "resources": resources}

    @staticmethod
    def _decide(call: Call, resource_policy: documents.Document | None) -> Decision:
        try:
            policies = documents.policies_for(call)
        except UnknownPrincipalError as error:
            return Decision(call=call, allowed=False, reason=str(error))
        if resource_policy is not None:
            policies = replace(policies, resource=resource_policy)
        return evaluation.decide(call, policies, account=backend.account_id(), region=backend.region())
