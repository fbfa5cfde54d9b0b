"""The policy engine: ministack's evaluator as a function of a call and of policy documents.

Thus a logged call can be decided again with other documents.
"""

import importlib
import re
from collections.abc import Mapping
from typing import Any

from rehearsal.emulator.authorization.calls import Call, Decision, Policies

_SESSION = re.compile(r"^arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([^/]+)/.+$")
_ROLE = re.compile(r"^arn:(aws[a-z-]*):iam::(\d{12}):role/(?:.*/)?([^/]+)$")


def decide(call: Call, policies: Policies, *, account: str, region: str) -> Decision:
    """Decide a call as IAM does within one account.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
    """
    engine = _engine()
    context = _context(call, account=account, region=region)
    if call.is_by_service:
        result = engine.evaluate_resource_policy(policies.resource, context, service=call.principal)
        return _decision(call, result, "the resource policy")
    documents = [engine.parse_policy_document(document) for document in policies.identity.values()]
    limits = [[engine.parse_policy_document(policies.boundary)]] if policies.boundary is not None else []
    result = engine.evaluate(context, documents, *limits)
    by_identity = result.decision == "Allow"
    if policies.resource is not None:
        # A key policy or a trust policy must allow the call too.
        required = call.action.startswith(("kms:", "sts:AssumeRole"))
        result = engine.combine_resource_policy(
            result, context, policies.resource, account, required=required, limits=tuple(limits)
        )
    sources = "identity policies" if policies.resource is None else "identity policies and the resource policy"
    return _decision(call, result, sources, by_identity=by_identity)


def role_arn(principal: str) -> str:
    """Return the role of a role session; any other principal unchanged."""
    match = _SESSION.match(principal)
    return f"arn:{match[1]}:iam::{match[2]}:role/{match[3]}" if match else principal


def correct_condition_keys() -> None:
    """Have the engine resolve two condition keys as AWS does.

    `aws:PrincipalArn` is the role, not its session; `aws:SecureTransport` is true, although the emulator has no TLS.
    """
    engine = _engine()
    original = engine._resolve_condition_key

    def resolve(key: str, context: Any) -> Any:
        name = key.lower()
        if name == "aws:securetransport":
            return "true"
        value = original(key, context)
        return role_arn(value) if name == "aws:principalarn" and isinstance(value, str) else value

    engine._resolve_condition_key = resolve


def _engine() -> Any:
    return importlib.import_module("ministack.core.iam_evaluator")


def _context(call: Call, *, account: str, region: str) -> object:
    keys: dict[str, Any] = {key.lower(): value for key, value in call.context.items()}
    keys.setdefault("aws:tagkeys", None)
    if call.is_by_service:
        if call.principal.startswith("arn:"):
            principal, kind, owner = call.principal, "Account", call.principal.split(":")[4]
        else:
            principal, kind, owner = "*", "Service", ""
            keys.setdefault("aws:principalservicename", call.principal)
        keys.setdefault("aws:principalisawsservice", "true")
    else:
        principal, kind, owner = _session_arn(call.principal), "AssumedRole", account
        keys.setdefault("aws:principalisawsservice", "false")
        if ":user/" in principal:
            kind = "User"
    return _engine().EvalContext(
        principal_arn=principal,
        principal_type=kind,
        principal_account=owner,
        action=call.action,
        resource_arn=call.resource,
        region=region,
        secure_transport=True,
        service_context=keys,
    )


def _session_arn(principal: str) -> str:
    """Return the ARN of a session of a role, which calls carry; any other principal unchanged."""
    match = _ROLE.match(principal)
    return f"arn:{match[1]}:sts::{match[2]}:assumed-role/{match[3]}/rehearsal" if match else principal


def _decision(call: Call, result: Any, sources: str, *, by_identity: bool = False) -> Decision:
    verdict: Mapping[str, str] = {
        "Allow": f"allowed by {sources}",
        "Deny": f"explicitly denied in {sources}",
        "ImplicitDeny": f"no statement allows it in {sources}",
    }
    return Decision(
        call=call,
        allowed=result.decision == "Allow",
        reason=verdict[result.decision],
        missing_in_resource=by_identity and result.decision == "ImplicitDeny",
    )
