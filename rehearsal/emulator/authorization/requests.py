"""Authorization of API requests: the emulator's own check, then the calls that a request implies."""

import importlib
import json
from collections.abc import Mapping
from typing import Any

from rehearsal.emulator.authorization.authority import Authority
from rehearsal.emulator.authorization.calls import Call, Decision
from rehearsal.emulator.authorization.documents import role_tags
from rehearsal.emulator.authorization.implied import implied_calls
from rehearsal.emulator.core import ministack

#: Service to the member of a request that lists names, and the prefix of a name in its ARN.
_LISTS: Mapping[str, tuple[str, str]] = {
    "ecr": ("repositoryNames", "repository/"),
    "codebuild": ("names", "project/"),
}


def authorize_requests(authority: Authority) -> None:
    """Extend the emulator's check of requests; those of the root are its own and not authorized."""
    engine: Any = importlib.import_module("ministack.core.iam_evaluator")
    original = engine.enforce

    def enforce(
        access_key: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: Mapping[str, Any] | None = None,
    ) -> Any:
        if action == "sts:AssumeRole":
            service_context = {**(service_context or {}), **role_tags(resource_arn)}
        denied = original(
            access_key, action, service, region, resource_arn=resource_arn, service_context=service_context
        )
        principal = engine.resolve_principal(access_key or "", ministack.account_id())
        if isinstance(principal, engine.AuthError) or principal.type == "Root":
            return denied
        context = {key: value for key, value in (service_context or {}).items() if value is not None}
        call = Call(principal=principal.arn, action=action, resource=resource_arn, context=context)
        reason = "allowed by the policies" if denied is None else "denied by the emulator"
        authority.decision_log.add(Decision(call=call, allowed=denied is None, reason=reason), by="request")
        if denied is None:
            for implied in implied_calls(call, authority.keys):
                decision = authority.decide(implied, by="request")
                if not decision.allowed:
                    return engine.EvalResult("ImplicitDeny", principal_arn=principal.arn, reason=decision.reason)
        return denied

    engine.enforce = enforce
    _identify_listed_resources()
    _log_undecided(authority)


def signer(authorization: str) -> str | None:
    """Return the ARN of the principal that signed a request; None for the root and for unknown signatures."""
    engine: Any = importlib.import_module("ministack.core.iam_evaluator")
    router: Any = importlib.import_module("ministack.core.router")
    key = router.extract_access_key_id({"authorization": authorization})
    principal = engine.resolve_principal(key, ministack.account_id())
    return None if isinstance(principal, engine.AuthError) or principal.type == "Root" else str(principal.arn)


def _identify_listed_resources() -> None:
    """Identify the resource of requests that list names, which the emulator authorizes for `*`."""
    actions: Any = importlib.import_module("ministack.core.iam_actions")
    original = actions.extract_resource_arn

    def extract(
        service: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query: Mapping[str, Any],
        region: str,
        account: str,
    ) -> object:
        arn = original(service, method, path, headers, body, query, region, account)
        member, prefix = _LISTS.get(service, ("", ""))
        if arn != "*" or not member or not body.startswith(b"{"):
            return arn
        names: list[str] = json.loads(body).get(member) or []
        return f"arn:aws:{service}:{region}:{account}:{prefix}{names[0]}" if len(names) == 1 else arn

    actions.extract_resource_arn = extract


def _log_undecided(authority: Authority) -> None:
    """Log the requests for which the emulator knows no action, and which it allows."""
    actions: Any = importlib.import_module("ministack.core.iam_actions")
    original = actions.extract_iam_action

    def extract(service: str, method: str, path: str, headers: Mapping[str, str], *rest: object) -> object:
        action = original(service, method, path, headers, *rest)
        if action is None:
            authority.decision_log.add_undecided(f"{service} {method} {headers.get('x-amz-target') or path}")
        return action

    actions.extract_iam_action = extract
