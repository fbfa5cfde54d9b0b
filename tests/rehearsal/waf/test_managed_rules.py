"""Managed rule groups detect attacks and add labels like those of AWS."""

import json

import pytest

from rehearsal.waf.web_request import INSPECTED_BODY_BYTES
from tests.rehearsal.waf.web_acls import (
    CORE,
    COUNT,
    IN_BODY,
    NONE,
    SCRIPT,
    SQL_INJECTION,
    SQLI,
    acl,
    custom_response,
    evaluate,
    group,
    outcome,
    overrides,
    request,
)


@pytest.mark.parametrize(
    ("path", "headers", "body", "rule"),
    [
        (SQL_INJECTION, {}, b"", "SQLi_QUERYARGUMENTS"),
        ("/v1/orders/1'%20or%201=1--", {}, b"", "SQLi_URIPATH"),
        ("/", {"cookie": "a=1' or 1=1--"}, b"", "SQLi_COOKIE"),
        ("/", {"content_type": "application/json"}, b'{"amount": 1, "description": "\' OR 1=1 --"}', "SQLi_BODY"),
    ],
    ids=["query", "path", "cookie", "body"],
)
def test_sql_injection_is_detected(path: str, headers: dict[str, str], body: bytes, rule: str) -> None:
    evaluation = evaluate(acl(group(SQLI)), request(path, **headers), body)
    assert outcome(evaluation) == ("BLOCK", rule, [])
    assert evaluation.terminating is not None
    assert evaluation.terminating.group == SQLI


@pytest.mark.parametrize(
    ("path", "headers", "body", "rule"),
    [
        (f"/?q={SCRIPT}", {}, b"", "CrossSiteScripting_QUERYARGUMENTS"),
        ("/?q=../../etc/passwd", {}, b"", "GenericLFI_QUERYARGUMENTS"),
        ("/?q=http://169.254.169.254/", {}, b"", "EC2MetaDataSSRF_QUERYARGUMENTS"),
        ("/?q=http://192.0.2.1/a", {}, b"", "GenericRFI_QUERYARGUMENTS"),
        ("/a.log", {}, b"", "RestrictedExtensions_URIPATH"),
        ("/", {"user_agent": ""}, b"", "NoUserAgent_HEADER"),
        ("/", {"content_length": "8193"}, b"", "SizeRestrictions_BODY"),
        ("/", {}, SCRIPT.encode(), "CrossSiteScripting_BODY"),
        (f"/?q={'a' * 2050}", {}, b"", "SizeRestrictions_QUERYSTRING"),
    ],
    ids=["script", "LFI", "SSRF", "RFI", "extension", "user agent", "body size", "body script", "query size"],
)
def test_examples_of_aws_are_detected(path: str, headers: dict[str, str], body: bytes, rule: str) -> None:
    assert outcome(evaluate(acl(group(CORE)), request(path, **headers), body))[:2] == ("BLOCK", rule)


@pytest.mark.parametrize(
    "path",
    ["/v1/orders?limit=10&created_gte=1795532026", "/v1/orders?reference=O'Brien", "/v1/orders/order_01m870rw"],
    ids=["limit", "reference", "id"],
)
def test_ordinary_requests_match_no_rule(path: str) -> None:
    groups = [group(name) for name in ("AWSManagedRulesAmazonIpReputationList", CORE, SQLI)]
    body = b'{"amount": 4200, "description": "O\'Brien; select option 1 -- see union", "metadata": {"a": "b"}}'
    inspected = request(path, content_type="application/json", idempotency_key="order-1001")
    assert outcome(evaluate(acl(*groups, group("AWSManagedRulesKnownBadInputsRuleSet")), inspected, body)) == (
        "ALLOW",
        "",
        [],
    )


def test_a_counted_match_does_not_end_its_group() -> None:
    counted = group(SQLI, RuleActionOverrides=overrides(SQLi_BODY=COUNT))
    body = b'{"description": "\' OR 1=1 --"}'
    assert outcome(evaluate(acl(counted), request("/"), body)) == ("ALLOW", "", ["SQLi_BODY"])
    both = evaluate(acl(counted), request("/", cookie="a=1' or 1=1--"), body)
    assert outcome(both) == ("BLOCK", "SQLi_COOKIE", ["SQLi_BODY"])
    assert both.labels == {IN_BODY, "awswaf:managed:aws:sql-database:SQLi_Cookie"}


def test_an_override_may_have_a_custom_response() -> None:
    bodies = {"blocked": {"ContentType": "APPLICATION_JSON", "Content": '{"code": "request_blocked"}'}}
    document = acl(
        group(SQLI, RuleActionOverrides=overrides(SQLi_QUERYARGUMENTS=custom_response("blocked"))),
        CustomResponseBodies=bodies,
    )
    response = evaluate(document, request(SQL_INJECTION)).action.response
    assert response is not None
    assert (response.content_type, json.loads(response.body)) == ("application/json", {"code": "request_blocked"})


def test_a_group_inspects_only_its_scope() -> None:
    hook = {"FieldToMatch": {"UriPath": {}}, "RegexString": "^/hook$", "TextTransformations": NONE}
    scoped = group(SQLI, ScopeDownStatement={"NotStatement": {"Statement": {"RegexMatchStatement": hook}}})
    query = SQL_INJECTION.partition("?")[2]
    assert [evaluate(acl(scoped), request(f"{path}?{query}")).action.kind for path in ("/hook", "/hooks")] == [
        "ALLOW",
        "BLOCK",
    ]


def test_only_the_first_8_kb_of_a_body_are_inspected() -> None:
    assert INSPECTED_BODY_BYTES == 8_192
    attack = SCRIPT.encode()
    inside, outside = attack.rjust(INSPECTED_BODY_BYTES), b" " * INSPECTED_BODY_BYTES + attack
    assert [evaluate(acl(group(CORE)), request(), body).action.kind for body in (inside, outside)] == ["BLOCK", "ALLOW"]
