"""Log records in the shape that AWS WAF writes, and counts for a person to read.

Source: "Log fields for web ACL traffic", AWS WAF Developer Guide. Bodies are never in them.
"""

import time
from typing import Any

from rehearsal.compute.firewall.inspection import WebRequest
from rehearsal.compute.firewall.web_acl import Match, Verdict, WebAcl

_REDACTED = "REDACTED"


def record(acl: WebAcl, request: WebRequest, verdict: Verdict) -> dict[str, Any]:
    """What is logged of a request."""
    ended = verdict.ended_by
    groups = [match for match in (*verdict.counted, ended) if match is not None and match.group]
    return {
        "timestamp": int(time.time() * 1000),
        "formatVersion": 1,
        "webaclId": acl.arn,
        "terminatingRuleId": "Default_Action" if ended is None else ended.group or ended.rule,
        "terminatingRuleType": _type(ended),
        "action": verdict.action.kind,
        "httpSourceName": "ALB",
        "ruleGroupList": [
            {
                "ruleGroupId": f"AWS#{match.group}",
                "terminatingRule": {"ruleId": match.rule, "action": match.action.kind} if match is ended else None,
                "nonTerminatingMatchingRules": []
                if match is ended
                else [{"ruleId": match.rule, "action": match.action.kind}],
            }
            for match in groups
        ],
        "nonTerminatingMatchingRules": [
            {"ruleId": match.rule, "action": match.action.kind} for match in verdict.counted if not match.group
        ],
        "httpRequest": {
            "clientIp": request.client,
            "headers": [
                {"name": name, "value": _REDACTED if name in acl.protected_headers else value}
                for name, values in request.headers.items()
                for value in values
            ],
            "uri": request.path,
            "args": request.query,
            "httpMethod": request.method,
        },
        "labels": [{"name": label} for label in sorted(verdict.labels)],
        "responseCodeSent": None if verdict.action.answer is None else verdict.action.answer.status,
    }


def summary(acl: WebAcl) -> str:
    """How often each rule blocked or counted, in a line; empty when none did."""
    parts = [
        f"{kind.lower()} {', '.join(f'{rule} {times}' for rule, times in counts.most_common())}"
        for kind, counts in sorted(acl.counts.items())
    ]
    return f"web ACL {acl.name}: {'; '.join(parts)}" if parts else ""


def _type(ended: Match | None) -> str:
    if ended is None:
        return "REGULAR"
    if ended.group:
        return "MANAGED_RULE_GROUP"
    return "RATE_BASED" if ended.rate_based else "REGULAR"
