"""A web ACL in front of the local load balancer decides as AWS WAF does, and what is not known here is refused."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from rehearsal.host.errors import RehearsalError
from rehearsal.waf.log_records import summary
from rehearsal.waf.web_acl import Verdict, WebAcl
from rehearsal.waf.web_request import BODY_BYTES, WebRequest
from tests.rehearsal.elbv2.load_balancer_fixture import Stage, echo, play_in

pytestmark = pytest.mark.rehearsal

SQL, SCRIPT = "1' UNION SELECT password FROM users--", "<script>alert(1)</script>"
SQLI, CORE = "AWSManagedRulesSQLiRuleSet", "AWSManagedRulesCommonRuleSet"
IN_QUERY, IN_BODY = "awswaf:managed:aws:sql-database:SQLi_QueryArguments", "awswaf:managed:aws:sql-database:SQLi_Body"
BLOCK: dict[str, Any] = {"Block": {}}
COUNT: dict[str, Any] = {"Count": {}}
NONE = [{"Priority": 0, "Type": "NONE"}]


def acl(*rules: dict[str, Any], default: str = "Allow", **members: Any) -> dict[str, Any]:
    numbered = [{"Priority": number, **rule} for number, rule in enumerate(rules)]
    return {"Name": "waf-acl-dev", "ARN": "arn:acl", "DefaultAction": {default: {}}, "Rules": numbered, **members}


def own(name: str, statement: dict[str, Any], action: dict[str, Any] = BLOCK, **members: Any) -> dict[str, Any]:
    return {"Name": name, "Statement": statement, "Action": action, **members}


def group(name: str, *, override: str = "None", **settings: Any) -> dict[str, Any]:
    statement = {"ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": name, **settings}}
    return {"Name": name, "Statement": statement, "OverrideAction": {override: {}}}


def overridden(**actions: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"Name": name, "ActionToUse": action} for name, action in actions.items()]


def answered(body: str) -> dict[str, Any]:
    return {"Block": {"CustomResponse": {"ResponseCode": 403, "CustomResponseBodyKey": body}}}


def label(key: str, scope: str = "LABEL") -> dict[str, Any]:
    return {"LabelMatchStatement": {"Scope": scope, "Key": key}}


def header_is(name: str, expression: str, *transformations: str) -> dict[str, Any]:
    steps = [{"Priority": number, "Type": kind} for number, kind in enumerate(transformations or ("NONE",))]
    field = {"SingleHeader": {"Name": name}}
    return {"RegexMatchStatement": {"FieldToMatch": field, "RegexString": expression, "TextTransformations": steps}}


def rate(limit: int = 10, **settings: Any) -> dict[str, Any]:
    return {"RateBasedStatement": {"Limit": limit, "AggregateKeyType": "IP", "EvaluationWindowSec": 60, **settings}}


def request(path: str = "/v1/payments", *, client: str = "198.51.100.7", **headers: str) -> WebRequest:
    path, _, query = path.partition("?")
    sent = {"user_agent": "merchant/1", **headers}
    fields = {name.replace("_", "-"): [value] for name, value in sent.items() if value}
    return WebRequest(client=client, method="POST", path=path, query=query, headers=fields)


def judge(document: dict[str, Any] | WebAcl, seen: WebRequest, body: bytes = b"") -> Verdict:
    parsed = document if isinstance(document, WebAcl) else WebAcl.parse(document)

    async def read() -> bytes:
        return body

    return asyncio.run(parsed.evaluate(seen, read))[1]


def outcome(verdict: Verdict) -> tuple[str, str, list[str]]:
    """The action, the rule that ended it, and the rules that counted."""
    ended = verdict.ended_by.rule if verdict.ended_by else ""
    return verdict.action.kind, ended, [match.rule for match in verdict.counted]


QUOTED = f"/v1/payments?reference={SQL.replace(' ', '%20')}"


# --- rules and actions


def test_rules_are_asked_by_priority_until_one_ends_it() -> None:
    document = acl(
        own("last", header_is("x", "1"), BLOCK, Priority=9),
        own("second", header_is("x", "1"), {"Allow": {}}, Priority=2),
        own("first", header_is("x", "1"), COUNT, Priority=1),
        own("other", header_is("x", "2"), BLOCK, Priority=0),
    )
    assert outcome(judge(document, request(x="1"))) == ("ALLOW", "second", ["first"])
    assert outcome(judge(document, request(x="2"))) == ("BLOCK", "other", [])


@pytest.mark.parametrize(("default", "action"), [("Allow", "ALLOW"), ("Block", "BLOCK")])
def test_what_no_rule_ends_has_the_default_action(default: str, action: str) -> None:
    assert outcome(judge(acl(default=default), request())) == (action, "", [])


def test_a_block_without_a_response_of_its_own_has_the_page_of_aws() -> None:
    answer = judge(acl(own("all", header_is("user-agent", ""))), request()).action.answer
    assert answer is not None
    assert (answer.status, answer.content_type) == (403, "text/html")
    assert "403 Forbidden" in answer.body


def test_text_is_transformed_in_order_before_it_is_compared() -> None:
    statement = header_is("x", "^a b$", "URL_DECODE", "LOWERCASE", "COMPRESS_WHITE_SPACE")
    assert outcome(judge(acl(own("match", statement)), request(x="A%20%20B")))[0] == "BLOCK"
    assert outcome(judge(acl(own("match", header_is("x", "^a b$"))), request(x="A%20%20B")))[0] == "ALLOW"


def test_statements_are_combined() -> None:
    one, two = header_is("x", "1"), header_is("y", "1")
    both = {"AndStatement": {"Statements": [one, two]}}
    either = {"OrStatement": {"Statements": [one, two]}}
    neither = {"NotStatement": {"Statement": either}}

    def blocked(statement: dict[str, Any]) -> list[bool]:
        asked = [request(x=x, y=y) for x, y in (("1", "1"), ("1", ""), ("", ""))]
        return [judge(acl(own("one", statement)), seen).action.kind == "BLOCK" for seen in asked]

    assert blocked(both) == [True, False, False]
    assert blocked(either) == [True, True, False]
    assert blocked(neither) == [False, False, True]


def test_a_later_rule_finds_labels_by_name_and_by_namespace() -> None:
    counts = group(SQLI, RuleActionOverrides=overridden(SQLi_QUERYARGUMENTS=COUNT))
    for statement, found in (
        (label(IN_QUERY), True),
        (label("sql-database:SQLi_QueryArguments"), True),
        (label("awswaf:managed:aws:sql-database:", "NAMESPACE"), True),
        (label("awswaf:managed:aws:core-rule-set:", "NAMESPACE"), False),
        (label(IN_BODY), False),
    ):
        verdict = judge(acl(counts, own("labelled", statement)), request(QUOTED))
        assert (verdict.action.kind == "BLOCK") is found, statement
    assert judge(acl(own("labelled", label(IN_QUERY)), counts), request(QUOTED)).action.kind == "ALLOW", "asked before"


def test_a_rule_adds_its_own_labels() -> None:
    marks = own("marks", header_is("x", "1"), COUNT, RuleLabels=[{"Name": "team:marked"}])
    document = acl(marks, own("marked", label("team:", "NAMESPACE")))
    assert [judge(document, request(x=x)).action.kind for x in "12"] == ["BLOCK", "ALLOW"]


# --- managed groups


@pytest.mark.parametrize(
    ("path", "headers", "body", "rule"),
    [
        (QUOTED, {}, b"", "SQLi_QUERYARGUMENTS"),
        ("/v1/payments/1'%20or%201=1--", {}, b"", "SQLi_URIPATH"),
        ("/", {"cookie": "a=1' or 1=1--"}, b"", "SQLi_COOKIE"),
        ("/", {"content_type": "application/json"}, b'{"amount": 1, "description": "\' OR 1=1 --"}', "SQLi_BODY"),
    ],
)
def test_injected_sql_is_found_wherever_it_is(path: str, headers: dict[str, str], body: bytes, rule: str) -> None:
    verdict = judge(acl(group(SQLI)), request(path, **headers), body)
    assert outcome(verdict) == ("BLOCK", rule, [])
    assert verdict.ended_by is not None
    assert verdict.ended_by.group == SQLI


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
)
def test_the_core_rules_find_what_aws_gives_as_examples(
    path: str, headers: dict[str, str], body: bytes, rule: str
) -> None:
    assert outcome(judge(acl(group(CORE)), request(path, **headers), body))[:2] == ("BLOCK", rule)


@pytest.mark.parametrize(
    "path",
    ["/v1/payments?limit=10&created_gte=1795532026", "/v1/payments?reference=O'Brien", "/v1/payments/pay_01m870rw"],
)
def test_ordinary_requests_match_no_rule(path: str) -> None:
    groups = [group(name) for name in ("AWSManagedRulesAmazonIpReputationList", CORE, SQLI)]
    body = b'{"amount": 4200, "description": "O\'Brien; select option 1 -- see union", "metadata": {"a": "b"}}'
    seen = request(path, content_type="application/json", idempotency_key="order-1001")
    assert outcome(judge(acl(*groups, group("AWSManagedRulesKnownBadInputsRuleSet")), seen, body)) == ("ALLOW", "", [])


def test_a_rule_that_only_counts_lets_its_group_go_on() -> None:
    counted = group(SQLI, RuleActionOverrides=overridden(SQLi_BODY=COUNT))
    body = b'{"description": "\' OR 1=1 --"}'
    assert outcome(judge(acl(counted), request("/"), body)) == ("ALLOW", "", ["SQLi_BODY"])
    both = judge(acl(counted), request("/", cookie="a=1' or 1=1--"), body)
    assert outcome(both) == ("BLOCK", "SQLi_COOKIE", ["SQLi_BODY"])
    assert both.labels == {IN_BODY, "awswaf:managed:aws:sql-database:SQLi_Cookie"}


def test_a_group_that_only_counts_still_stops_at_its_first_block() -> None:
    verdict = judge(acl(group(SQLI, override="Count")), request(QUOTED, cookie="a=1' or 1=1--"))
    assert outcome(verdict) == ("ALLOW", "", ["SQLi_QUERYARGUMENTS"])
    assert verdict.labels == {IN_QUERY}


def test_an_override_answers_with_its_own_body() -> None:
    bodies = {"blocked": {"ContentType": "APPLICATION_JSON", "Content": '{"code": "request_blocked"}'}}
    document = acl(
        group(SQLI, RuleActionOverrides=overridden(SQLi_QUERYARGUMENTS=answered("blocked"))),
        CustomResponseBodies=bodies,
    )
    answer = judge(document, request(QUOTED)).action.answer
    assert answer is not None
    assert (answer.content_type, json.loads(answer.body)) == ("application/json", {"code": "request_blocked"})


def test_a_group_judges_only_what_is_in_its_scope() -> None:
    hook = {"FieldToMatch": {"UriPath": {}}, "RegexString": "^/hook$", "TextTransformations": NONE}
    scoped = group(SQLI, ScopeDownStatement={"NotStatement": {"Statement": {"RegexMatchStatement": hook}}})
    query = QUOTED.partition("?")[2]
    assert [judge(acl(scoped), request(f"{path}?{query}")).action.kind for path in ("/hook", "/hooks")] == [
        "ALLOW",
        "BLOCK",
    ]


def test_only_the_first_8_kb_of_a_body_are_judged() -> None:
    assert BODY_BYTES == 8_192
    attack = SCRIPT.encode()
    inside, outside = attack.rjust(BODY_BYTES), b" " * BODY_BYTES + attack
    assert [judge(acl(group(CORE)), request(), body).action.kind for body in (inside, outside)] == ["BLOCK", "ALLOW"]


# --- rates


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def limited(clock: Clock, **settings: Any) -> WebAcl:
    return WebAcl.parse(acl(own("rate", rate(**settings))), clock=clock)


def blocked(parsed: WebAcl, *requests: WebRequest) -> list[bool]:
    return [judge(parsed, seen).action.kind == "BLOCK" for seen in requests]


def test_what_is_beyond_the_limit_is_blocked_until_it_has_left_the_window() -> None:
    clock = Clock()
    parsed = limited(clock)
    assert blocked(parsed, *[request()] * 12) == [False] * 10 + [True] * 2
    clock.now += 59
    assert blocked(parsed, request()) == [True]
    clock.now += 1.5  # only the blocked one of a moment ago is left
    assert blocked(parsed, *[request()] * 10) == [False] * 9 + [True]


def test_each_address_has_a_rate_of_its_own() -> None:
    parsed = limited(Clock())
    assert blocked(parsed, *[request(client="192.0.2.1")] * 11)[-1]
    assert blocked(parsed, request(client="192.0.2.2")) == [False]


def test_each_value_of_a_header_has_a_rate_of_its_own_and_none_has_none() -> None:
    key = {"Header": {"Name": "Authorization", "TextTransformations": NONE}}
    parsed = limited(Clock(), AggregateKeyType="CUSTOM_KEYS", CustomKeys=[key])
    assert blocked(parsed, *[request(authorization="one", client=f"192.0.2.{n}") for n in range(11)])[-1]
    assert blocked(parsed, request(authorization="two")) == [False]
    assert not any(blocked(parsed, *[request()] * 30))


def test_a_rate_counts_what_is_in_its_scope() -> None:
    parsed = limited(Clock(), ScopeDownStatement=header_is("x", "1"))
    assert not any(blocked(parsed, *[request()] * 30))
    assert blocked(parsed, *[request(x="1")] * 11)[-1]


# --- what is not known


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (own("r", {"GeoMatchStatement": {"CountryCodes": ["DE"]}}), "statement GeoMatchStatement"),
        (own("r", {"NotStatement": {"Statement": {"XssMatchStatement": {}}}}), "statement XssMatchStatement"),
        (own("r", header_is("x", "1", "JS_DECODE")), "text transformation JS_DECODE"),
        (own("r", header_is("x", "1"), {"Captcha": {}}), "action Captcha"),
        (own("r", header_is("x", "1"), {"Count": {"CustomRequestHandling": {}}}), "setting CustomRequestHandling"),
        (own("r", header_is("x", "1"), answered("k")), "custom response body k"),
        (own("r", rate(9)), "rate of 9 requests in 60 s"),
        (own("r", rate(10, EvaluationWindowSec=90)), "rate of 10 requests in 90 s"),
        (own("r", rate(AggregateKeyType="FORWARDED_IP")), "aggregation of requests by FORWARDED_IP"),
        (own("r", rate(AggregateKeyType="CUSTOM_KEYS", CustomKeys=[{"Cookie": {}}])), "custom key Cookie"),
        (group("AWSManagedRulesBotControlRuleSet"), "managed rule group AWS AWSManagedRulesBotControlRuleSet"),
        (group(SQLI, RuleActionOverrides=overridden(SQLi_body=COUNT)), "rule SQLi_body of AWSManagedRulesSQLiRuleSet"),
        (group(SQLI, Version="Version_2.0"), "setting Version"),
        (group(SQLI, override="Allow"), "override action Allow"),
        (own("r", header_is("x", "1"), CaptchaConfig={}), "setting CaptchaConfig"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused_by_name(rule: dict[str, Any], named: str) -> None:
    with pytest.raises(RehearsalError, match=f"web ACL waf-acl-dev, rule .*: the {named}.* is not known"):
        WebAcl.parse(acl(rule))


def test_another_protected_field_and_a_malformed_rule_are_refused() -> None:
    protected = {"DataProtections": [{"Field": {"FieldType": "QUERY_STRING"}, "Action": "HASH"}]}
    with pytest.raises(RehearsalError, match="its data protection: the protected field QUERY_STRING"):
        WebAcl.parse(acl(DataProtectionConfig=protected))
    with pytest.raises(RehearsalError, match=r"rule r: KeyError\('Action'\) is missing"):
        WebAcl.parse(acl({"Name": "r", "Statement": header_is("x", "1")}))


# --- in front of the load balancer


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Play a scenario with a load balancer."""
    return partial(play_in, tmp_path)


async def status(client: ClientSession, method: str = "GET", path: str = "/", **options: Any) -> int:
    async with client.request(method, path, **options) as answer:
        await answer.read()
        return answer.status


def test_without_a_web_acl_everything_passes(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.target(echo)
        async with stage.client() as client:
            assert await status(client, path=QUOTED) == 200

    play(scenario)


def test_bodies_arrive_whole_although_their_beginning_was_looked_at(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.target(echo)
        body = "0123456789" * 3_000

        async def chunks() -> AsyncIterator[bytes]:
            yield b"first "
            yield b"second"

        async with stage.client() as client:
            for data, seen in ((io.BytesIO(body.encode()), body), (chunks(), "first second"), (b"", "")):
                async with client.post("/", data=data, expect100=data != b"") as answer:
                    assert (await answer.json())["body"] == seen

    play(scenario, web_acl=acl(group(CORE, RuleActionOverrides=overridden(SizeRestrictions_BODY=COUNT))))


def test_a_client_that_never_sends_its_body_is_not_waited_for(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.target(echo)
        port = int(str(stage.endpoint.http).rpartition(":")[2])
        reader, writer = await asyncio.open_connection("localhost", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nUser-Agent: x\r\nContent-Length: 10\r\n\r\nhalf")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()

    play(scenario, web_acl=acl(group(SQLI)), idle_timeout=0.2)


def test_the_web_acl_comes_before_redirects(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        async with ClientSession() as client:
            url = f"http://{stage.endpoint.http}{QUOTED}"
            assert await status(client, path=url, allow_redirects=False) == 403

    play(scenario, web_acl=acl(group(SQLI)))


def test_a_changed_web_acl_is_in_force_and_the_same_one_keeps_its_rates(play: Callable[..., None]) -> None:
    first, second = acl(own("rate", rate(10))), acl(own("rate", rate(20)))

    async def scenario(stage: Stage) -> None:
        await stage.target(echo)
        async with stage.client() as client:
            assert [await status(client) for _ in range(11)][-1] == 403
            await stage.balancers.synchronize([replace(stage.settings, web_acl=acl(own("rate", rate(10))))])
            assert await status(client) == 403
            await stage.balancers.synchronize([replace(stage.settings, web_acl=second)])
            assert await status(client) == 200
            await stage.balancers.synchronize([replace(stage.settings, web_acl=None)])
            assert await status(client) == 200
        assert stage.told == ["web ACL waf-acl-dev: block rate 2"]

    play(scenario, web_acl=first)


def test_a_web_acl_that_cannot_be_applied_is_refused_and_the_former_one_stays(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.target(echo)
        unknown = acl(own("abroad", {"GeoMatchStatement": {"CountryCodes": ["DE"]}}))
        with pytest.raises(RehearsalError, match="rule abroad: the statement GeoMatchStatement"):
            await stage.balancers.synchronize([replace(stage.settings, web_acl=unknown)])
        async with stage.client() as client:
            assert await status(client, path=QUOTED) == 403

    play(scenario, web_acl=acl(group(SQLI)))


def test_what_was_not_simply_allowed_is_logged_without_what_is_protected(
    play: Callable[..., None], tmp_path: Path
) -> None:
    protection = {"Action": "SUBSTITUTION", "Field": {"FieldType": "SINGLE_HEADER", "FieldKeys": ["Authorization"]}}
    counted = group(SQLI, RuleActionOverrides=overridden(SQLi_BODY=COUNT))
    document = acl(counted, DataProtectionConfig={"DataProtections": [protection]})

    async def scenario(stage: Stage) -> None:
        await stage.target(echo)
        async with stage.client() as client:
            secret = {"Authorization": "Bearer sk_test_secret"}
            assert await status(client, headers=secret) == 200
            assert await status(client, "POST", data="' OR 1=1 --", headers=secret) == 200
            assert await status(client, path=QUOTED, headers=secret) == 403
        await stage.balancers.close()
        assert stage.told == ["web ACL waf-acl-dev: block SQLi_QUERYARGUMENTS 1; count SQLi_BODY 1"]

    play(scenario, web_acl=document)
    written = (tmp_path / "logs" / "web-acl-waf-acl-dev.log").read_text()
    assert "secret" not in written
    count, block = [json.loads(line) for line in written.splitlines()]
    assert (count["action"], count["terminatingRuleId"]) == ("ALLOW", "Default_Action")
    assert count["ruleGroupList"][0]["nonTerminatingMatchingRules"] == [{"ruleId": "SQLi_BODY", "action": "COUNT"}]
    assert (block["action"], block["terminatingRuleId"]) == ("BLOCK", SQLI)
    assert block["ruleGroupList"][0]["terminatingRule"] == {"ruleId": "SQLi_QUERYARGUMENTS", "action": "BLOCK"}
    assert block["labels"] == [{"name": IN_QUERY}]
    assert block["httpRequest"]["clientIp"] == "127.0.0.1"
    assert {"name": "authorization", "value": "REDACTED"} in block["httpRequest"]["headers"]


def test_a_web_acl_that_did_nothing_has_nothing_to_tell() -> None:
    assert summary(WebAcl.parse(acl())) == ""
