"""Log records in the format of AWS WAF, and a summary of the matches.

Source: "Log fields for web ACL traffic", AWS WAF Developer Guide. Bodies are not logged.
"""

import time

from rehearsal.waf.web_acl import Evaluation, Match, WebAcl
from rehearsal.waf.web_request import WebRequest

_REDACTED = "REDACTED"


def log_record(acl: WebAcl, request: WebRequest, evaluation: Evaluation) -> dict[str, object]:
    """Return the log record of a request."""
    terminating = evaluation.terminating
    group_matches = [match for match in (*evaluation.counted, terminating) if match is not None and match.group]
    return {
        "timestamp": int(time.time() * 1000),
        "formatVersion": 1,
        "webaclId": acl.arn,
        "terminatingRuleId": "Default_Action" if terminating is None else terminating.group or terminating.rule,
        "terminatingRuleType": _rule_type(terminating),
        "action": evaluation.action.kind,
        "httpSourceName": "ALB",
        "ruleGroupList": [
            {
                "ruleGroupId": f"AWS#{match.group}",
                "terminatingRule": _rule(match) if match is terminating else None,
                "nonTerminatingMatchingRules": [] if match is terminating else [_rule(match)],
            }
            for match in group_matches
        ],
        "nonTerminatingMatchingRules": [_rule(match) for match in evaluation.counted if not match.group],
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
        "labels": [{"name": label} for label in sorted(evaluation.labels)],
        "responseCodeSent": None if evaluation.action.response is None else evaluation.action.response.status,
    }


def summary(acl: WebAcl) -> str:
    """Return one line with the number of matches by action and rule; empty without any match."""
    parts = [
        f"{kind.lower()} {', '.join(f'{rule} {times}' for rule, times in counts.most_common())}"
        for kind, counts in sorted(acl.counts.items())
    ]
    return f"web ACL {acl.name}: {'; '.join(parts)}" if parts else ""


def _rule(match: Match) -> dict[str, str]:
    return {"ruleId": match.rule, "action": match.action.kind}


def _rule_type(match: Match | None) -> str:
    if match is not None and match.group:
        return "MANAGED_RULE_GROUP"
    return "RATE_BASED" if match is not None and match.rate_based else "REGULAR"
