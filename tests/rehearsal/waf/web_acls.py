"""Web ACLs, their parts, and requests to evaluate them for."""

import asyncio
from typing import Any

from rehearsal.waf.web_acl import Evaluation, WebAcl
from rehearsal.waf.web_request import WebRequest

SQLI, CORE = "AWSManagedRulesSQLiRuleSet", "AWSManagedRulesCommonRuleSet"
IN_QUERY, IN_BODY = "awswaf:managed:aws:sql-database:SQLi_QueryArguments", "awswaf:managed:aws:sql-database:SQLi_Body"
BLOCK: dict[str, Any] = {"Block": {}}
COUNT: dict[str, Any] = {"Count": {}}
NONE = [{"Priority": 0, "Type": "NONE"}]
#: A path with SQL injection in its query.
SQL_INJECTION = "/v1/orders?reference=1'%20UNION%20SELECT%20password%20FROM%20users--"
SCRIPT = "<script>alert(1)</script>"


def acl(*rules: dict[str, Any], default: str = "Allow", **members: object) -> dict[str, Any]:
    numbered = [{"Priority": number, **rule} for number, rule in enumerate(rules)]
    return {"Name": "waf-acl-dev", "ARN": "arn:acl", "DefaultAction": {default: {}}, "Rules": numbered, **members}


def statement_rule(
    name: str, statement: dict[str, Any], action: dict[str, Any] = BLOCK, **members: object
) -> dict[str, Any]:
    return {"Name": name, "Statement": statement, "Action": action, **members}


def group(name: str, *, override: str = "None", **settings: object) -> dict[str, Any]:
    statement = {"ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": name, **settings}}
    return {"Name": name, "Statement": statement, "OverrideAction": {override: {}}}


def overrides(**actions: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"Name": name, "ActionToUse": action} for name, action in actions.items()]


def custom_response(body: str) -> dict[str, Any]:
    return {"Block": {"CustomResponse": {"ResponseCode": 403, "CustomResponseBodyKey": body}}}


def header_is(name: str, expression: str, transformation: str = "NONE") -> dict[str, Any]:
    steps = [{"Priority": 0, "Type": transformation}]
    field = {"SingleHeader": {"Name": name}}
    return {"RegexMatchStatement": {"FieldToMatch": field, "RegexString": expression, "TextTransformations": steps}}


def rate(limit: int = 10, **settings: Any) -> dict[str, Any]:
    return {"RateBasedStatement": {"Limit": limit, "AggregateKeyType": "IP", "EvaluationWindowSec": 60, **settings}}


def request(path: str = "/v1/orders", *, client: str = "198.51.100.7", **headers: str) -> WebRequest:
    path, _, query = path.partition("?")
    fields = {"user_agent": "merchant/1", **headers}
    sent = {name.replace("_", "-"): [value] for name, value in fields.items() if value}
    return WebRequest(client=client, method="POST", path=path, query=query, headers=sent)


def evaluate(document: dict[str, Any] | WebAcl, inspected: WebRequest, body: bytes = b"") -> Evaluation:
    parsed = document if isinstance(document, WebAcl) else WebAcl.parse(document)

    async def read() -> bytes:
        return body

    return asyncio.run(parsed.evaluate(inspected, read))[1]


def outcome(evaluation: Evaluation) -> tuple[str, str, list[str]]:
    """Return the action, the terminating rule, and the rules that counted."""
    terminating = evaluation.terminating.rule if evaluation.terminating else ""
    return evaluation.action.kind, terminating, [match.rule for match in evaluation.counted]
