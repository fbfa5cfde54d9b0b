"""Evaluation of a web ACL: rules in the order of their priority, until one of them terminates it.

Source: "Using web ACLs with rules and rule groups in AWS WAF" and "Using rule actions", AWS WAF Developer Guide.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from rehearsal.host.errors import RehearsalError
from rehearsal.waf.documents import Document, UnsupportedError, only_member, refuse_others
from rehearsal.waf.managed_rules import GROUPS, detector
from rehearsal.waf.rate_based import Clock, RateBased, parse_rate_based
from rehearsal.waf.statements import Statement, parse_scope_down, parse_statement
from rehearsal.waf.web_request import WebRequest

_FORBIDDEN_PAGE = (
    "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n"
    "</body>\r\n</html>\r\n"
)
_CONTENT_TYPES = {"APPLICATION_JSON": "application/json", "TEXT_PLAIN": "text/plain", "TEXT_HTML": "text/html"}
_BLOCK, _COUNT = "BLOCK", "COUNT"


@dataclass(frozen=True, kw_only=True)
class BlockResponse:
    """The response to a blocked request."""

    status: int = 403
    content_type: str = "text/html"
    body: str = _FORBIDDEN_PAGE
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Action:
    """The action of a rule; `response` belongs to BLOCK."""

    kind: str
    response: BlockResponse | None = None

    @property
    def terminates(self) -> bool:
        """Whether it ends the evaluation."""
        return self.kind != _COUNT


@dataclass(frozen=True, kw_only=True)
class Match:
    """A rule that matched, and the action taken; `group` is the name of the rule that refers to its rule group."""

    rule: str
    action: Action
    group: str = ""
    label: str = ""
    rate_based: bool = False


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of an evaluation; without a terminating match the default action applies."""

    action: Action
    terminating: Match | None
    counted: tuple[Match, ...]
    labels: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class StatementRule:
    """A rule with a statement and an action; no statement that is implemented inspects bodies."""

    name: str
    statement: Statement
    action: Action
    needs_body: bool = False

    def evaluate(self, request: WebRequest) -> list[Match]:
        """Return the match, if there is one."""
        if not self.statement.matches(request):
            return []
        return [Match(rule=self.name, action=self.action, rate_based=isinstance(self.statement, RateBased))]


@dataclass(frozen=True, kw_only=True)
class ManagedGroupRule:
    """A rule that refers to a managed rule group; `overrides` replace the actions of rules of the group."""

    name: str
    group: str
    overrides: Mapping[str, Action]
    scope: Statement | None
    needs_body: bool = True

    def evaluate(self, request: WebRequest) -> list[Match]:
        """Return the matches up to the first terminating one."""
        if self.scope is not None and not self.scope.matches(request):
            return []
        group = GROUPS[self.group]
        detected = detector(self.group).matches(request)
        matches = []
        for rule in group.rules:
            if rule.name not in detected:
                continue
            default = Action(kind=_BLOCK, response=BlockResponse()) if rule.blocks else Action(kind=_COUNT)
            action = self.overrides.get(rule.name, default)
            matches.append(Match(rule=rule.name, action=action, group=self.name, label=group.label(rule)))
            if action.terminates:
                break
        return matches


@dataclass(frozen=True, kw_only=True)
class WebAcl:
    """A web ACL; `counts` are the matches so far by action and rule."""

    name: str
    arn: str
    rules: Sequence[StatementRule | ManagedGroupRule]
    default: Action
    protected_headers: frozenset[str]
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: Document, *, clock: Clock = time.monotonic) -> Self:
        """Parse the response of WAFv2's GetWebACLForResource.

        Raises:
            RehearsalError: Something is malformed or not implemented; the message names the rule.

        """
        name = str(document.get("Name", ""))
        where = "default action"
        try:
            bodies = document.get("CustomResponseBodies", {})
            default = _parse_action(document["DefaultAction"], bodies)
            rules = []
            for rule in sorted(document["Rules"], key=lambda rule: int(rule["Priority"])):
                where = f"rule {rule['Name']}"
                rules.append(_parse_rule(rule, bodies, clock))
            where = "data protection"
            protected = frozenset(_protected_headers(document.get("DataProtectionConfig", {})))
        except UnsupportedError as error:
            raise RehearsalError(
                f"web ACL {name}, {where}: {error} is not supported by the rehearsal (rehearsal/waf)"
            ) from error
        except (KeyError, ValueError, TypeError) as error:
            raise RehearsalError(f"web ACL {name}, {where}: {error!r} is missing or malformed") from error
        return cls(name=name, arn=document.get("ARN", ""), rules=rules, default=default, protected_headers=protected)

    async def evaluate(
        self, request: WebRequest, read_body: Callable[[], Awaitable[bytes]]
    ) -> tuple[WebRequest, Evaluation]:
        """Evaluate the rules for a request.

        Args:
            request: The request without its body.
            read_body: Reads the inspected part of the body; called once, when the first rule needs it.

        Returns:
            The request as it was inspected, and the result.

        """
        matches: list[Match] = []
        has_body = False
        for rule in self.rules:
            if rule.needs_body and not has_body:
                request, has_body = request.with_body(await read_body()), True
            matches += rule.evaluate(request)
            if matches and matches[-1].action.terminates:
                break
        for match in matches:
            self.counts.setdefault(match.action.kind, Counter())[match.rule] += 1
        terminating = matches.pop() if matches and matches[-1].action.terminates else None
        labelled = (*matches, terminating) if terminating else matches
        return request, Evaluation(
            action=terminating.action if terminating else self.default,
            terminating=terminating,
            counted=tuple(matches),
            labels=frozenset(match.label for match in labelled if match.label),
        )


def _parse_rule(document: Document, bodies: Document, clock: Clock) -> StatementRule | ManagedGroupRule:
    refuse_others(document, "Name", "Priority", "Statement", "Action", "OverrideAction", "VisibilityConfig")
    name = str(document["Name"])
    kind, settings = only_member(document["Statement"], "a statement")
    if kind == "ManagedRuleGroupStatement":
        return _parse_group(name, settings, document["OverrideAction"], bodies)
    return StatementRule(
        name=name,
        statement=parse_rate_based(settings, clock=clock)
        if kind == "RateBasedStatement"
        else parse_statement(document["Statement"]),
        action=_parse_action(document["Action"], bodies),
    )


def _parse_group(name: str, settings: Document, override: Document, bodies: Document) -> ManagedGroupRule:
    refuse_others(settings, "VendorName", "Name", "RuleActionOverrides", "ScopeDownStatement")
    group = str(settings["Name"])
    if settings["VendorName"] != "AWS" or group not in GROUPS:
        raise UnsupportedError(f"the managed rule group {settings['VendorName']} {group}")
    known = {rule.name for rule in GROUPS[group].rules}
    overrides = {}
    for entry in settings.get("RuleActionOverrides", ()):
        if entry["Name"] not in known:
            raise UnsupportedError(f"the rule {entry['Name']} of {group} (AWS silently ignores an override of it)")
        overrides[entry["Name"]] = _parse_action(entry["ActionToUse"], bodies)
    kind, _ = only_member(override, "an override action")
    if kind != "None":
        raise UnsupportedError(f"the override action {kind}")
    detector(group)
    return ManagedGroupRule(name=name, group=group, overrides=overrides, scope=parse_scope_down(settings))


def _parse_action(document: Document, bodies: Document) -> Action:
    kind, settings = only_member(document, "an action")
    match kind:
        case "Allow" | "Count":
            refuse_others(settings)
            return Action(kind=kind.upper())
        case "Block":
            refuse_others(settings, "CustomResponse")
            custom = settings.get("CustomResponse")
            return Action(kind=_BLOCK, response=_parse_response(custom, bodies) if custom else BlockResponse())
    raise UnsupportedError(f"the action {kind}")


def _parse_response(document: Document, bodies: Document) -> BlockResponse:
    refuse_others(document, "ResponseCode", "CustomResponseBodyKey", "ResponseHeaders")
    key = document["CustomResponseBodyKey"]
    if key not in bodies:
        raise UnsupportedError(f"the custom response body {key}, which the web ACL does not define,")
    return BlockResponse(
        status=int(document["ResponseCode"]),
        content_type=_CONTENT_TYPES[bodies[key]["ContentType"]],
        body=bodies[key]["Content"],
        headers={header["Name"]: header["Value"] for header in document.get("ResponseHeaders", ())},
    )


def _protected_headers(document: Document) -> Sequence[str]:
    """Return the headers whose values are never logged; bodies are not logged at all."""
    headers: list[str] = []
    for protection in document.get("DataProtections", ()):
        kind = protection["Field"]["FieldType"]
        if kind == "SINGLE_HEADER":
            headers += [name.lower() for name in protection["Field"]["FieldKeys"]]
        elif kind != "BODY":
            raise UnsupportedError(f"the protected field {kind}")
    return headers
