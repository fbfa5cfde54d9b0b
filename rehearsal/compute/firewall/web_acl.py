"""A web ACL as deployed: rules in the order of their priority, until one of them ends it.

Source: "Using web ACLs with rules and rule groups in AWS WAF" and "Using rule actions", AWS WAF Developer Guide.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from rehearsal.compute.errors import ComputeError
from rehearsal.compute.firewall.documents import UnknownToFirewallError, only, single
from rehearsal.compute.firewall.inspection import WebRequest
from rehearsal.compute.firewall.managed_rules import GROUPS, ManagedGroup, detector
from rehearsal.compute.firewall.rates import Clock, RateBased, parse_rate_based
from rehearsal.compute.firewall.statements import Statement, parse_statement

_FORBIDDEN_PAGE = (
    "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n"
    "</body>\r\n</html>\r\n"
)
_CONTENT_TYPES = {"APPLICATION_JSON": "application/json", "TEXT_PLAIN": "text/plain", "TEXT_HTML": "text/html"}
_ALLOW, _BLOCK, _COUNT = "ALLOW", "BLOCK", "COUNT"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a blocked client gets."""

    status: int = 403
    content_type: str = "text/html"
    body: str = _FORBIDDEN_PAGE
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Action:
    """What a rule does with what it matches; `answer` goes with BLOCK."""

    kind: str
    answer: Answer | None = None

    @property
    def ends(self) -> bool:
        """Whether no further rule is asked."""
        return self.kind != _COUNT


@dataclass(frozen=True, kw_only=True)
class Match:
    """A rule that matched, with the action that was taken; `group` is the rule that names its group."""

    rule: str
    action: Action
    group: str = ""
    labels: tuple[str, ...] = ()
    rate_based: bool = False


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of a request. `ended_by` is none where nothing but the default action decided."""

    action: Action
    ended_by: Match | None
    counted: tuple[Match, ...]
    labels: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class OwnRule:
    """A rule with a statement and an action of its own."""

    name: str
    statement: Statement
    action: Action
    labels: tuple[str, ...] = ()

    @property
    def needs_body(self) -> bool:
        """No statement that is known here looks at bodies."""
        return False

    def evaluate(self, request: WebRequest, labels: frozenset[str]) -> list[Match]:
        """The match, if it is one."""
        if not self.statement.matches(request, labels):
            return []
        rate_based = isinstance(self.statement, RateBased)
        return [Match(rule=self.name, action=self.action, labels=self.labels, rate_based=rate_based)]


@dataclass(frozen=True, kw_only=True)
class GroupRule:
    """A managed group. `overrides` replace its rules' actions; `only_counts` the action that results from them all."""

    name: str
    group: str
    overrides: Mapping[str, Action]
    scope: Statement | None
    only_counts: bool

    @property
    def needs_body(self) -> bool:
        """Some rules of each group look at bodies."""
        return True

    def evaluate(self, request: WebRequest, labels: frozenset[str]) -> list[Match]:
        """Matches up to and with the first one that ends the group."""
        if self.scope is not None and not self.scope.matches(request, labels):
            return []
        group: ManagedGroup = GROUPS[self.group]
        found = detector(self.group).matches(request)
        matches = []
        for rule in group.rules:
            if rule.name not in found:
                continue
            own = Action(kind=_BLOCK, answer=Answer()) if rule.blocks else Action(kind=_COUNT)
            action = self.overrides.get(rule.name, own)
            ended = action.ends
            if ended and self.only_counts:
                action = Action(kind=_COUNT)
            matches.append(Match(rule=rule.name, action=action, group=self.name, labels=(group.label(rule),)))
            if ended:
                break
        return matches


@dataclass(frozen=True, kw_only=True)
class WebAcl:
    """A web ACL. `counts` grow with every match: by action, then by rule."""

    name: str
    arn: str
    rules: Sequence[OwnRule | GroupRule]
    default: Action
    protected_headers: frozenset[str]
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, clock: Clock = time.monotonic) -> Self:
        """Read what WAFv2 answers to GetWebACLForResource.

        Raises:
            ComputeError: naming the rule, and what in it is not known here.
        """
        name = str(document.get("Name", ""))
        where = "its default action"
        try:
            bodies = document.get("CustomResponseBodies", {})
            default = _action(document["DefaultAction"], bodies)
            rules = []
            for rule in sorted(document["Rules"], key=lambda one: int(one["Priority"])):
                where = f"rule {rule['Name']}"
                rules.append(_rule(rule, bodies, clock))
            where = "its data protection"
            protected = frozenset(_protected_headers(document.get("DataProtectionConfig", {})))
        except UnknownToFirewallError as error:
            message = (
                f"web ACL {name}, {where}: {error} is not known to the local firewall, and letting it pass would show "
                "nothing. Teach it (rehearsal/compute/firewall/), or do without"
            )
            raise ComputeError(message) from error
        except (KeyError, ValueError, TypeError) as error:
            raise ComputeError(f"web ACL {name}, {where}: {error!r} is missing or malformed") from error
        return cls(name=name, arn=document.get("ARN", ""), rules=rules, default=default, protected_headers=protected)

    async def evaluate(self, request: WebRequest, body: Callable[[], Awaitable[bytes]]) -> tuple[WebRequest, Verdict]:
        """Ask rule after rule; `body` reads the beginning of the body, once the first rule needs it."""
        labels: frozenset[str] = frozenset()
        counted: list[Match] = []
        read = False
        for rule in self.rules:
            if rule.needs_body and not read:
                request, read = request.with_body(await body()), True
            for match in rule.evaluate(request, labels):
                self.counts.setdefault(match.action.kind, Counter())[match.rule] += 1
                labels |= set(match.labels)
                if match.action.ends:
                    return request, Verdict(action=match.action, ended_by=match, counted=tuple(counted), labels=labels)
                counted.append(match)
        return request, Verdict(action=self.default, ended_by=None, counted=tuple(counted), labels=labels)


def _rule(document: Mapping[str, Any], bodies: Mapping[str, Any], clock: Clock) -> OwnRule | GroupRule:
    only(document, "Name", "Priority", "Statement", "Action", "OverrideAction", "RuleLabels", "VisibilityConfig")
    name, statement = str(document["Name"]), document["Statement"]
    kind, settings = single(statement, "a statement")
    if kind == "ManagedRuleGroupStatement":
        return _group(name, settings, document["OverrideAction"], bodies)
    return OwnRule(
        name=name,
        statement=parse_rate_based(settings, clock=clock)
        if kind == "RateBasedStatement"
        else parse_statement(statement),
        action=_action(document["Action"], bodies),
        labels=tuple(label["Name"] for label in document.get("RuleLabels", ())),
    )


def _group(name: str, settings: Mapping[str, Any], override: Mapping[str, Any], bodies: Mapping[str, Any]) -> GroupRule:
    only(settings, "VendorName", "Name", "RuleActionOverrides", "ScopeDownStatement")
    group = str(settings["Name"])
    if settings["VendorName"] != "AWS" or group not in GROUPS:
        raise UnknownToFirewallError(f"the managed rule group {settings['VendorName']} {group}")
    known = {rule.name for rule in GROUPS[group].rules}
    overrides = {}
    for one in settings.get("RuleActionOverrides", ()):
        if one["Name"] not in known:
            raise UnknownToFirewallError(f"the rule {one['Name']} of {group} (AWS ignores an override of it silently)")
        overrides[one["Name"]] = _action(one["ActionToUse"], bodies)
    kind, _ = single(override, "an override action")
    if kind not in ("None", "Count"):
        raise UnknownToFirewallError(f"the override action {kind}")
    detector(group)
    scope = settings.get("ScopeDownStatement")
    return GroupRule(
        name=name,
        group=group,
        overrides=overrides,
        scope=parse_statement(scope) if scope else None,
        only_counts=kind == "Count",
    )


def _action(document: Mapping[str, Any], bodies: Mapping[str, Any]) -> Action:
    kind, settings = single(document, "an action")
    match kind:
        case "Allow" | "Count":
            only(settings)
            return Action(kind=kind.upper())
        case "Block":
            only(settings, "CustomResponse")
            custom = settings.get("CustomResponse")
            return Action(kind=_BLOCK, answer=_answer(custom, bodies) if custom else Answer())
    raise UnknownToFirewallError(f"the action {kind}")


def _answer(document: Mapping[str, Any], bodies: Mapping[str, Any]) -> Answer:
    only(document, "ResponseCode", "CustomResponseBodyKey", "ResponseHeaders")
    headers = {header["Name"]: header["Value"] for header in document.get("ResponseHeaders", ())}
    key = document.get("CustomResponseBodyKey")
    if key is None:
        return Answer(status=int(document["ResponseCode"]), content_type="", body="", headers=headers)
    if key not in bodies:
        raise UnknownToFirewallError(f"the custom response body {key}, which the web ACL does not have,")
    return Answer(
        status=int(document["ResponseCode"]),
        content_type=_CONTENT_TYPES[bodies[key]["ContentType"]],
        body=bodies[key]["Content"],
        headers=headers,
    )


def _protected_headers(document: Mapping[str, Any]) -> Sequence[str]:
    """Headers whose values are never logged; bodies are not logged at all."""
    found: list[str] = []
    for protection in document.get("DataProtections", ()):
        kind = protection["Field"]["FieldType"]
        if kind == "SINGLE_HEADER":
            found += [name.lower() for name in protection["Field"]["FieldKeys"]]
        elif kind != "BODY":
            raise UnknownToFirewallError(f"the protected field {kind}")
    return found
