"""The web ACL in front of the load balancer, its log, and the data protection of both."""

import json
from dataclasses import dataclass
from typing import Literal

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from kit.log_groups import EncryptedLogGroup
from stages.config.environment import EnvironmentConfig
from stages.service.managed_rules import DECISIONS, GROUPS, IP_REPUTATION

ACL = wafv2.CfnWebACL


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """A rejection in the format of the API's own errors (RFC 9457); `type` links the code in the reference."""

    status: int
    code: str
    title: str
    detail: str

    def body(self) -> wafv2.CfnWebACL.CustomResponseBodyProperty:
        """Return the body for WAF: fixed, so without a request id, and with no media type but `application/json`."""
        content = {
            "type": f"/docs#{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        return ACL.CustomResponseBodyProperty(content_type="APPLICATION_JSON", content=json.dumps(content))


#: The API's own limit on a request body, in bytes. The web ACL sees only the first 8 KiB of a body, so it checks the
#: declared length; the service measures a body without one.
BODY_LIMIT = 65_536
BLOCKED, TOO_LARGE, TOO_MANY = "request-blocked", "content-too-large", "too-many-requests"
_BODIES = {
    BLOCKED: _Problem(
        status=403,
        code="request_blocked",
        title="The request was blocked",
        detail="The web application firewall classified the request as an attack. It did not reach the API.",
    ),
    TOO_LARGE: _Problem(
        status=413,
        code="content_too_large",
        title="The request body is too large",
        detail=f"The request body is too large. Send at most {BODY_LIMIT // 1024} KiB.",
    ),
    TOO_MANY: _Problem(
        status=429,
        code="too_many_requests",
        title="Too many requests",
        detail="Too many requests. Slow down and retry in a minute.",
    ),
}
#: Where processors deliver webhooks. These are signed, so the reputation of the sending addresses is irrelevant.
PROCESSOR_WEBHOOKS = "^/v1/processors/[a-z]{1,32}/webhooks$"


class Firewall(Construct):
    """Rate limits per address and per API key, a body limit, and AWS's managed rules, all logged."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: EnvironmentConfig,
        key: kms.IKey,
        load_balancer_arn: str,
    ) -> None:
        super().__init__(scope, construct_id)
        names = config.names
        acl = ACL(
            self,
            "Acl",
            name=names.name("waf-acl"),
            description=f"Payment API {names.suffix}",
            scope="REGIONAL",
            default_action=ACL.DefaultActionProperty(allow=ACL.AllowActionProperty()),
            custom_response_bodies={key: problem.body() for key, problem in _BODIES.items()},
            data_protection_config=_data_protection(),
            visibility_config=_metrics(names.name("waf-acl")),
            rules=_rules(names.suffix, rate_limit=config.capacity.rate_limit),
        )
        wafv2.CfnWebACLAssociation(self, "Association", resource_arn=load_balancer_arn, web_acl_arn=acl.attr_arn)
        log_group = EncryptedLogGroup(self, "Logs", name=names.waf_logs, target=config, key=key)
        delivery = logs.CfnResourcePolicy(
            self,
            "LogDelivery",
            policy_name=names.name("log-policy-waf"),
            policy_document=json.dumps(_log_delivery(config)),
        )
        logging = wafv2.CfnLoggingConfiguration(
            self,
            "Logging",
            resource_arn=acl.attr_arn,
            log_destination_configs=[f"arn:aws:logs:{config.region}:{config.account}:log-group:{names.waf_logs}"],
            logging_filter={  # allowed requests are in the access log
                "DefaultBehavior": "DROP",
                "Filters": [
                    {
                        "Behavior": "KEEP",
                        "Requirement": "MEETS_ANY",
                        "Conditions": [
                            {"ActionCondition": {"Action": action}}
                            for action in ("BLOCK", "COUNT", "EXCLUDED_AS_COUNT")
                        ],
                    }
                ],
            },
        )
        logging.node.add_dependency(log_group, delivery)


def content_length_above(limit: int) -> str:
    """Return a regular expression that matches the decimal numbers greater than `limit`, as in Content-Length."""
    digits = str(limit)
    larger = [
        f"{digits[:place]}[{int(digit) + 1}-9][0-9]{{{len(digits) - place - 1}}}"
        for place, digit in enumerate(digits)
        if digit != "9"
    ]
    return f"^0*({'|'.join([*larger, f'[1-9][0-9]{{{len(digits)},}}'])})$"


def _rules(suffix: str, *, rate_limit: int) -> list[wafv2.CfnWebACL.RuleProperty]:
    own = [
        ("rate-limit-ip", _rate(rate_limit, per_key=False), TOO_MANY),
        ("rate-limit-key", _rate(rate_limit, per_key=True), TOO_MANY),
        ("body-size", _declared_length(), TOO_LARGE),
    ]
    rules = [
        ACL.RuleProperty(
            name=name,
            priority=priority,
            statement=statement,
            action=ACL.RuleActionProperty(block=_block(body)),
            visibility_config=_metrics(f"{name}-{suffix}"),
        )
        for priority, (name, statement, body) in enumerate(own)
    ]
    for priority, group in enumerate(GROUPS, start=len(own)):
        rules.append(
            ACL.RuleProperty(
                name=group,
                priority=priority,
                override_action=ACL.OverrideActionProperty(none={}),
                statement=ACL.StatementProperty(managed_rule_group_statement=_managed(group)),
                visibility_config=_metrics(f"{group}-{suffix}"),
            )
        )
    return rules


def _managed(group: str) -> wafv2.CfnWebACL.ManagedRuleGroupStatementProperty:
    """Return a managed rule group, each of its rules with the action of its `Decision`."""
    return ACL.ManagedRuleGroupStatementProperty(
        vendor_name="AWS",
        name=group,
        rule_action_overrides=[
            ACL.RuleActionOverrideProperty(name=rule, action_to_use=_action(decision.action))
            for decision in DECISIONS
            if decision.group == group
            for rule in decision.rules
        ],
        scope_down_statement=_except_processor_webhooks() if group == IP_REPUTATION else None,
    )


def _action(action: Literal["block", "count"]) -> wafv2.CfnWebACL.RuleActionProperty:
    if action == "count":
        return ACL.RuleActionProperty(count=ACL.CountActionProperty())
    return ACL.RuleActionProperty(block=_block(BLOCKED))


def _except_processor_webhooks() -> wafv2.CfnWebACL.StatementProperty:
    webhook = ACL.RegexMatchStatementProperty(
        field_to_match=ACL.FieldToMatchProperty(uri_path={}),
        regex_string=PROCESSOR_WEBHOOKS,
        text_transformations=[ACL.TextTransformationProperty(priority=0, type="NONE")],
    )
    return ACL.StatementProperty(
        not_statement=ACL.NotStatementProperty(statement=ACL.StatementProperty(regex_match_statement=webhook))
    )


def _rate(limit: int, *, per_key: bool) -> wafv2.CfnWebACL.StatementProperty:
    """Limit requests per five minutes from one address, or with one `Authorization` header."""
    if not per_key:
        rate = ACL.RateBasedStatementProperty(limit=limit, evaluation_window_sec=300, aggregate_key_type="IP")
    else:
        header = ACL.RateLimitHeaderProperty(
            name="authorization", text_transformations=[ACL.TextTransformationProperty(priority=0, type="NONE")]
        )
        rate = ACL.RateBasedStatementProperty(
            limit=limit,
            evaluation_window_sec=300,
            aggregate_key_type="CUSTOM_KEYS",
            custom_keys=[ACL.RateBasedStatementCustomKeyProperty(header=header)],
        )
    return ACL.StatementProperty(rate_based_statement=rate)


def _declared_length() -> wafv2.CfnWebACL.StatementProperty:
    return ACL.StatementProperty(
        regex_match_statement=ACL.RegexMatchStatementProperty(
            field_to_match=ACL.FieldToMatchProperty(single_header={"Name": "content-length"}),
            regex_string=content_length_above(BODY_LIMIT),
            text_transformations=[ACL.TextTransformationProperty(priority=0, type="NONE")],
        )
    )


def _block(body: str) -> wafv2.CfnWebACL.BlockActionProperty:
    headers = [ACL.CustomHTTPHeaderProperty(name="retry-after", value="60")] if body == TOO_MANY else None
    return ACL.BlockActionProperty(
        custom_response=ACL.CustomResponseProperty(
            response_code=_BODIES[body].status, custom_response_body_key=body, response_headers=headers
        )
    )


def _data_protection() -> wafv2.CfnWebACL.DataProtectionConfigProperty:
    """Keep API keys and bodies out of logs and samples; redacted log fields do not cover rate keys and samples."""
    return ACL.DataProtectionConfigProperty(
        data_protections=[
            ACL.DataProtectProperty(
                action="SUBSTITUTION",
                field=field,
                exclude_rate_based_details=False,
                exclude_rule_match_details=False,
            )
            for field in (
                ACL.FieldToProtectProperty(field_type="SINGLE_HEADER", field_keys=["authorization"]),
                ACL.FieldToProtectProperty(field_type="BODY"),
            )
        ]
    )


def _metrics(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return ACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, sampled_requests_enabled=True, metric_name=name
    )


def _log_delivery(config: EnvironmentConfig) -> dict[str, object]:
    """Let WAF deliver its log; without this WAF would add a resource policy that outlives the environment."""
    account = config.account
    statement = iam.PolicyStatement(
        sid="WafLogDelivery",
        principals=[iam.ServicePrincipal("delivery.logs.amazonaws.com")],
        actions=["logs:CreateLogStream", "logs:PutLogEvents"],
        resources=[f"arn:aws:logs:{config.region}:{account}:log-group:{config.names.waf_logs}:log-stream:*"],
        conditions={
            "StringEquals": {"aws:SourceAccount": account},
            "ArnLike": {"aws:SourceArn": f"arn:aws:logs:{config.region}:{account}:*"},
        },
    )
    return {"Version": "2012-10-17", "Statement": [statement.to_statement_json()]}
