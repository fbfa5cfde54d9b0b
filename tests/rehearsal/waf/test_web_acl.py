"""A web ACL is evaluated as by AWS WAF, and refused if it uses what is not implemented."""

import pytest

from rehearsal.host.errors import RehearsalError
from rehearsal.waf.log_records import summary
from rehearsal.waf.web_acl import WebAcl
from tests.rehearsal.waf.web_acls import (
    BLOCK,
    COUNT,
    SQLI,
    acl,
    custom_response,
    evaluate,
    group,
    header_is,
    outcome,
    overrides,
    rate,
    request,
    statement_rule,
)


def test_rules_are_evaluated_by_priority_until_one_terminates() -> None:
    document = acl(
        statement_rule("last", header_is("x", "1"), BLOCK, Priority=9),
        statement_rule("second", header_is("x", "1"), {"Allow": {}}, Priority=2),
        statement_rule("first", header_is("x", "1"), COUNT, Priority=1),
        statement_rule("other", header_is("x", "2"), BLOCK, Priority=0),
    )
    assert outcome(evaluate(document, request(x="1"))) == ("ALLOW", "second", ["first"])
    assert outcome(evaluate(document, request(x="2"))) == ("BLOCK", "other", [])


@pytest.mark.parametrize(("default", "action"), [("Allow", "ALLOW"), ("Block", "BLOCK")])
def test_the_default_action_applies_otherwise(default: str, action: str) -> None:
    assert outcome(evaluate(acl(default=default), request())) == (action, "", [])


def test_the_default_block_response_is_the_page_of_aws() -> None:
    response = evaluate(acl(statement_rule("all", header_is("user-agent", ""))), request()).action.response
    assert response is not None
    assert (response.status, response.content_type) == (403, "text/html")
    assert "403 Forbidden" in response.body


def test_a_statement_may_be_negated() -> None:
    document = acl(statement_rule("one", {"NotStatement": {"Statement": header_is("x", "1")}}))
    assert [evaluate(document, request(x=x)).action.kind for x in ("1", "")] == ["ALLOW", "BLOCK"]


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (statement_rule("r", {"GeoMatchStatement": {"CountryCodes": ["DE"]}}), "statement GeoMatchStatement"),
        (
            statement_rule("r", {"NotStatement": {"Statement": {"XssMatchStatement": {}}}}),
            "statement XssMatchStatement",
        ),
        (statement_rule("r", header_is("x", "1", "JS_DECODE")), "text transformation JS_DECODE"),
        (statement_rule("r", header_is("x", "1"), {"Captcha": {}}), "action Captcha"),
        (
            statement_rule("r", header_is("x", "1"), {"Count": {"CustomRequestHandling": {}}}),
            "setting CustomRequestHandling",
        ),
        (statement_rule("r", header_is("x", "1"), custom_response("k")), "custom response body k"),
        (statement_rule("r", rate(9)), "rate of 9 requests in 60 s"),
        (statement_rule("r", rate(10, EvaluationWindowSec=90)), "rate of 10 requests in 90 s"),
        (statement_rule("r", rate(AggregateKeyType="FORWARDED_IP")), "aggregation of requests by FORWARDED_IP"),
        (statement_rule("r", rate(AggregateKeyType="CUSTOM_KEYS", CustomKeys=[{"Cookie": {}}])), "custom key Cookie"),
        (group("AWSManagedRulesBotControlRuleSet"), "managed rule group AWS AWSManagedRulesBotControlRuleSet"),
        (group(SQLI, RuleActionOverrides=overrides(SQLi_body=COUNT)), "rule SQLi_body of AWSManagedRulesSQLiRuleSet"),
        (group(SQLI, Version="Version_2.0"), "setting Version"),
        (group(SQLI, override="Allow"), "override action Allow"),
        (statement_rule("r", header_is("x", "1"), CaptchaConfig={}), "setting CaptchaConfig"),
    ],
)
def test_the_unsupported_is_refused(rule: dict[str, object], named: str) -> None:
    with pytest.raises(RehearsalError, match=f"web ACL waf-acl-dev, rule .*: the {named}.* is not supported"):
        WebAcl.parse(acl(rule))


def test_other_protected_fields_and_malformed_rules_are_refused() -> None:
    protected = {"DataProtections": [{"Field": {"FieldType": "QUERY_STRING"}, "Action": "HASH"}]}
    with pytest.raises(RehearsalError, match="data protection: the protected field QUERY_STRING"):
        WebAcl.parse(acl(DataProtectionConfig=protected))
    with pytest.raises(RehearsalError, match=r"rule r: KeyError\('Action'\) is missing"):
        WebAcl.parse(acl({"Name": "r", "Statement": header_is("x", "1")}))


def test_without_matches_there_is_no_summary() -> None:
    assert summary(WebAcl.parse(acl())) == ""
