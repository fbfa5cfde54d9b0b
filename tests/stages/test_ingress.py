"""Ingress uses TLS on every hop, logs nothing secret, and has a firewall with the API's limits."""

import json
import re
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from payments.core.problems import ApiError, ContentTooLarge, RequestBlocked, TooManyRequests
from payments.web.http.headers import register
from payments.web.http.strict_json import MAX_BODY_BYTES
from rehearsal.waf import managed_rules
from stages.service.firewall import BODY_LIMIT, content_length_above
from stages.service.managed_rules import DECISIONS, GROUPS
from tests.stages.model import Resource, Templates


def attributes(resource: Resource, name: str) -> dict[str, Any]:
    return {item["Key"]: item["Value"] for item in resource[name]}


@pytest.fixture
def balancer(each: Templates) -> Resource:
    return each.one("AWS::ElasticLoadBalancingV2::LoadBalancer")


def rules(templates: Templates) -> dict[str, dict[str, Any]]:
    return {rule["Name"]: rule for rule in templates.one("AWS::WAFv2::WebACL")["Rules"]}


def test_the_load_balancer_drops_malformed_requests(balancer: Resource) -> None:
    found = attributes(balancer, "LoadBalancerAttributes")
    assert balancer["Scheme"] == "internet-facing"
    assert found["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert found["routing.http.desync_mitigation_mode"] == "strictest"
    assert found["deletion_protection.enabled"] == "false"
    assert found["idle_timeout.timeout_seconds"] == "60", "below the 75 s of the service's keep-alive"


def test_https_uses_a_current_policy_and_https_targets(each: Templates) -> None:
    listener = each.one("AWS::ElasticLoadBalancingV2::Listener", Port=443)
    assert listener["Protocol"] == "HTTPS"
    assert listener["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
    (action,) = listener["DefaultActions"]
    forwarded = {group.logical_id: group for group in each.all("AWS::ElasticLoadBalancingV2::TargetGroup")}
    assert action["Type"] == "forward"
    group = forwarded[action["TargetGroupArn"]["Ref"]]
    assert group["Name"].startswith("tg-https-8443-")
    assert "-alt-" not in group["Name"], "rolling deployments use the primary one only"
    for group in forwarded.values():
        assert (group["Protocol"], group["Port"], group["TargetType"]) == ("HTTPS", 8443, "ip")


def test_http_only_redirects(each: Templates) -> None:
    listener = each.one("AWS::ElasticLoadBalancingV2::Listener", Port=80)
    (action,) = listener["DefaultActions"]
    assert action["Type"] == "redirect"
    assert action["RedirectConfig"] == {"Port": "443", "Protocol": "HTTPS", "StatusCode": "HTTP_301"}
    plain = [each for each in each.all("AWS::ElasticLoadBalancingV2::Listener") if each["Protocol"] == "HTTP"]
    assert len(plain) == 1


def test_responses_do_not_name_the_server(each: Templates) -> None:
    for listener in each.all("AWS::ElasticLoadBalancingV2::Listener"):
        assert attributes(listener, "ListenerAttributes")["routing.http.response.server.enabled"] == "false"


def test_listeners_add_the_services_security_headers(each: Templates) -> None:
    app = Flask("service")
    register(app)
    headers = app.test_client().get("/").headers
    for listener in each.all("AWS::ElasticLoadBalancingV2::Listener"):
        if listener["Protocol"] == "HTTPS":
            found = attributes(listener, "ListenerAttributes")
            for name in ("Strict-Transport-Security", "X-Content-Type-Options"):
                attribute = f"routing.http.response.{name.lower().replace('-', '_')}.header_value"
                assert found[attribute] == headers[name]


def test_health_checks_do_not_depend_on_the_database(each: Templates) -> None:
    for group in each.all("AWS::ElasticLoadBalancingV2::TargetGroup"):
        assert (group["HealthCheckPath"], group["HealthCheckProtocol"]) == ("/healthz", "HTTPS")
        assert attributes(group, "TargetGroupAttributes")["deregistration_delay.timeout_seconds"] == "30"


def test_a_configured_certificate_is_used(dev: Templates) -> None:
    listener = dev.one("AWS::ElasticLoadBalancingV2::Listener", Port=443)
    (certificate,) = listener["Certificates"]
    assert certificate["CertificateArn"].startswith("arn:aws:acm:us-east-1:111111111111:certificate/")
    assert not dev.all("AWS::CertificateManager::Certificate")
    assert not dev.all("AWS::Route53::RecordSet")


def test_a_domain_gets_a_certificate_and_an_alias(prod: Templates) -> None:
    certificate = prod.one("AWS::CertificateManager::Certificate")
    assert certificate["DomainName"] == "api.payments.example"
    assert certificate["ValidationMethod"] == "DNS"
    assert certificate["DomainValidationOptions"] == [
        {"DomainName": "api.payments.example", "HostedZoneId": "Z0123456789ABCDEFGHIJ"}
    ]
    listener = prod.one("AWS::ElasticLoadBalancingV2::Listener", Port=443)
    assert listener["Certificates"] == [{"CertificateArn": {"Ref": certificate.logical_id}}]
    alias = prod.one("AWS::Route53::RecordSet")
    assert (alias["Name"], alias["Type"]) == ("api.payments.example.", "A")
    balancer = prod.one("AWS::ElasticLoadBalancingV2::LoadBalancer")
    assert alias["AliasTarget"]["HostedZoneId"] == {"Fn::GetAtt": [balancer.logical_id, "CanonicalHostedZoneID"]}


def test_access_logs_go_to_a_private_encrypted_bucket(each: Templates, balancer: Resource) -> None:
    bucket = each.one("AWS::S3::Bucket")
    found = attributes(balancer, "LoadBalancerAttributes")
    assert found["access_logs.s3.enabled"] == "true"
    assert found["access_logs.s3.bucket"] == {"Ref": bucket.logical_id}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}, "all that log delivery supports"
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_the_log_bucket_rejects_plain_http(each: Templates) -> None:
    policy = each.one("AWS::S3::BucketPolicy")
    (deny,) = (item for item in policy["PolicyDocument"]["Statement"] if item["Effect"] == "Deny")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert deny["Principal"] == {"AWS": "*"}


def test_the_log_bucket_is_emptied_after_delivery_stops(each: Templates, balancer: Resource) -> None:
    emptied, policy = each.one("Custom::AutoDeleteObjects"), each.one("AWS::S3::BucketPolicy")
    assert emptied.logical_id in balancer.depends_on
    assert policy.logical_id in emptied.depends_on


def test_the_web_acl_protects_the_load_balancer(each: Templates, balancer: Resource) -> None:
    association = each.one("AWS::WAFv2::WebACLAssociation")
    acl = each.one("AWS::WAFv2::WebACL")
    assert association["ResourceArn"] == {"Ref": balancer.logical_id}
    assert association["WebACLArn"] == {"Fn::GetAtt": [acl.logical_id, "Arn"]}
    assert acl["Scope"] == "REGIONAL"


def test_every_rule_blocks_and_has_metrics(each: Templates) -> None:
    found = rules(each)
    assert list(found) == [
        "rate-limit-ip",
        "rate-limit-key",
        "body-size",
        "AWSManagedRulesAmazonIpReputationList",
        "AWSManagedRulesCommonRuleSet",
        "AWSManagedRulesKnownBadInputsRuleSet",
        "AWSManagedRulesSQLiRuleSet",
    ]
    assert [rule["Priority"] for rule in found.values()] == list(range(len(found)))
    for rule in found.values():
        assert rule["VisibilityConfig"]["CloudWatchMetricsEnabled"] is True
        blocks = "Block" in rule.get("Action", {}) or rule.get("OverrideAction") == {"None": {}}
        assert blocks, f"{rule['Name']} does not block"


def overrides(templates: Templates) -> dict[str, dict[str, Any]]:
    """Group to rule to the action that overrides the rule's own."""
    return {
        name: {one["Name"]: one["ActionToUse"] for one in group["RuleActionOverrides"]}
        for name, rule in rules(templates).items()
        if (group := rule["Statement"].get("ManagedRuleGroupStatement"))
    }


def test_every_block_has_a_response_of_our_own(each: Templates) -> None:
    acl = each.one("AWS::WAFv2::WebACL")
    own = [rule["Action"] for rule in acl["Rules"] if "Action" in rule]
    managed = [action for group in overrides(each).values() for action in group.values()]
    for action in own + managed:
        if "Count" not in action:
            key = action["Block"]["CustomResponse"]["CustomResponseBodyKey"]
            assert key in acl["CustomResponseBodies"]


def test_every_documented_rule_has_a_decision(each: Templates) -> None:
    for group, decided in overrides(each).items():
        assert set(decided) == {rule.name for rule in managed_rules.GROUPS[group].rules}
        assert len(decided) <= 100, "all that WAF takes"


def test_every_decision_is_unique_and_has_a_reason() -> None:
    decided = [(decision.group, rule) for decision in DECISIONS for rule in decision.rules]
    assert len(set(decided)) == len(decided)
    assert all(len(decision.reason) > 40 for decision in DECISIONS)


def test_body_rules_only_count(each: Templates) -> None:
    for group, decided in overrides(each).items():
        for name, action in decided.items():
            if name.endswith("_BODY"):
                assert action == {"Count": {}}, f"{group} blocks by {name}"


def test_all_other_rules_block_with_two_exceptions(each: Templates) -> None:
    counted = {
        name
        for decided in overrides(each).values()
        for name, action in decided.items()
        if action == {"Count": {}} and not name.endswith("_BODY")
    }
    assert counted == {"NoUserAgent_HEADER", "AWSManagedIPDDoSList"}


@pytest.mark.parametrize(
    ("path", "inspected"),
    [
        ("/v1/processors/stripe/webhooks", False),
        ("/v1/processors/stripe/webhooks/", True),
        ("/v1/processors/../payments", True),
        ("/v1/payments", True),
    ],
)
def test_processor_webhooks_are_exempt(each: Templates, path: str, inspected: bool) -> None:
    group = rules(each)["AWSManagedRulesAmazonIpReputationList"]["Statement"]["ManagedRuleGroupStatement"]
    exempt = group["ScopeDownStatement"]["NotStatement"]["Statement"]["RegexMatchStatement"]
    assert exempt["FieldToMatch"] == {"UriPath": {}}
    assert bool(re.search(exempt["RegexString"], path)) is not inspected


def test_only_the_reputation_list_has_an_exemption(each: Templates) -> None:
    scoped = [
        name for name, rule in rules(each).items() if "ScopeDownStatement" in next(iter(rule["Statement"].values()))
    ]
    assert scoped == ["AWSManagedRulesAmazonIpReputationList"]


def test_the_rules_fit_the_included_capacity(each: Templates) -> None:
    """2 for a rate and 30 for each custom key, 3 for a regular expression, 10 for each text transformation."""
    own = sum(_capacity(rule["Statement"]) for rule in rules(each).values())
    assert 1_100 < own <= 1_500


def _capacity(statement: dict[str, Any]) -> int:
    ((kind, inner),) = statement.items()
    nested = sum(_capacity(inner[name]) for name in ("ScopeDownStatement", "Statement") if name in inner)
    match kind:
        case "RateBasedStatement":
            return nested + 2 + 30 * len(inner.get("CustomKeys", []))
        case "RegexMatchStatement":
            return 3 + sum(10 for one in inner["TextTransformations"] if one["Type"] != "NONE")
        case "ManagedRuleGroupStatement":
            return nested + GROUPS[inner["Name"]]
        case "NotStatement":
            return nested
    raise AssertionError(f"the published capacity of {kind} is not known to this test")


def test_rates_are_limited_per_address_and_api_key(each: Templates) -> None:
    by_address = rules(each)["rate-limit-ip"]["Statement"]["RateBasedStatement"]
    assert by_address["AggregateKeyType"] == "IP"
    by_key = rules(each)["rate-limit-key"]["Statement"]["RateBasedStatement"]
    assert by_key["AggregateKeyType"] == "CUSTOM_KEYS"
    assert [key["Header"]["Name"] for key in by_key["CustomKeys"]] == ["authorization"]


def test_the_size_rule_reads_the_declared_length(each: Templates) -> None:
    statement = rules(each)["body-size"]["Statement"]["RegexMatchStatement"]
    assert statement["FieldToMatch"] == {"SingleHeader": {"Name": "content-length"}}
    assert len(statement["RegexString"]) <= 512, "all that WAF takes"
    assert re.search(statement["RegexString"], str(BODY_LIMIT + 1))
    assert not re.search(statement["RegexString"], str(BODY_LIMIT))


def test_the_body_limit_equals_the_apis() -> None:
    assert BODY_LIMIT == MAX_BODY_BYTES


@given(limit=st.integers(1, 10**7), length=st.integers(0, 10**9), zeros=st.integers(0, 3))
def test_the_size_expression_is_exact(limit: int, length: int, zeros: int) -> None:
    assert bool(re.search(content_length_above(limit), "0" * zeros + str(length))) == (length > limit)


@given(limit=st.integers(1, 10**7), step=st.sampled_from([-1, 0, 1]))
def test_the_size_expression_is_exact_at_the_limit(limit: int, step: int) -> None:
    assert bool(re.search(content_length_above(limit), str(limit + step))) == (step > 0)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("request-blocked", RequestBlocked),
        ("content-too-large", ContentTooLarge),
        ("too-many-requests", TooManyRequests),
    ],
    ids=["blocked", "too-large", "too-many"],
)
def test_rejections_are_problems_of_the_api(each: Templates, name: str, error: type[ApiError]) -> None:
    body = each.one("AWS::WAFv2::WebACL")["CustomResponseBodies"][name]
    assert body["ContentType"] == "APPLICATION_JSON"
    problem = json.loads(body["Content"])
    expected = error("what is wrong and what to do").body("req_1")
    assert set(problem) == set(expected) - {"request_id"}, "WAF has no request id"
    for member in ("type", "title", "status", "code"):
        assert problem[member] == expected[member]
    assert problem["detail"]
    assert len(body["Content"]) <= 4_096, "all that WAF takes"


def test_a_rejection_has_the_status_of_its_problem(each: Templates) -> None:
    acl = each.one("AWS::WAFv2::WebACL")
    actions = [rule["Action"] for rule in acl["Rules"] if "Action" in rule]
    actions += [action for group in overrides(each).values() for action in group.values()]
    responses = [action["Block"]["CustomResponse"] for action in actions if "Block" in action]
    for response in responses:
        body = acl["CustomResponseBodies"][response["CustomResponseBodyKey"]]
        assert response["ResponseCode"] == json.loads(body["Content"])["status"]
    used = {response["CustomResponseBodyKey"] for response in responses}
    assert used == set(acl["CustomResponseBodies"]), "a body that no rule uses"


def test_api_keys_and_bodies_are_not_logged_or_sampled(each: Templates) -> None:
    protections = each.one("AWS::WAFv2::WebACL")["DataProtectionConfig"]["DataProtections"]
    assert [item["Field"] for item in protections] == [
        {"FieldType": "SINGLE_HEADER", "FieldKeys": ["authorization"]},
        {"FieldType": "BODY"},
    ]
    for item in protections:
        assert item["Action"] == "SUBSTITUTION"
        assert item["ExcludeRateBasedDetails"] is False, "rate keys would show the header"
        assert item["ExcludeRuleMatchDetails"] is False


def test_rejections_are_logged(each: Templates) -> None:
    logging = each.one("AWS::WAFv2::LoggingConfiguration")
    (destination,) = logging["LogDestinationConfigs"]
    name = destination.split(":log-group:")[1]
    assert name.startswith("aws-waf-logs-"), "WAF takes no other"
    group = each.one("AWS::Logs::LogGroup", LogGroupName=name)
    delivery = each.one("AWS::Logs::ResourcePolicy")
    assert {group.logical_id, delivery.logical_id} <= set(logging.depends_on)
