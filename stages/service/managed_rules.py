"""What the web ACL does with each rule of AWS's managed rule groups, and why: the one table of decisions.

Every rule that AWS documents is named, because a rule blocks with AWS's HTML page unless the web ACL overrides its
action by name. AWS silently ignores an override whose name matches no rule. So a rule that AWS adds later blocks with
AWS's page until it is named here, and names from other static versions do no harm.

Sources: "AWS Managed Rules rule groups list" (names, WCUs) in the AWS WAF Developer Guide, `RuleActionOverride` in the
API reference. To list the rules in force:
`aws wafv2 describe-managed-rule-group --vendor-name AWS --scope REGIONAL --name NAME`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

COMMON = "AWSManagedRulesCommonRuleSet"
KNOWN_BAD_INPUTS = "AWSManagedRulesKnownBadInputsRuleSet"
SQL_INJECTION = "AWSManagedRulesSQLiRuleSet"
IP_REPUTATION = "AWSManagedRulesAmazonIpReputationList"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do with some rules of a group: `block` responds with `request_blocked`, `count` only counts."""

    group: str
    rules: Sequence[str]
    action: Literal["block", "count"]
    reason: str


_FREE_TEXT = (
    "A valid body contains free text (`description`, metadata, a processor's webhook), none of which is ever {used}. "
    "Only the first 8 KB of a body are inspected anyway."
)

DECISIONS: tuple[Decision, ...] = (
    Decision(
        group=IP_REPUTATION,
        rules=("AWSManagedIPReputationList", "AWSManagedReconnaissanceList"),
        action="block",
        reason="Addresses known for attacks. Processors' webhooks are exempt: they are signed, and come from clouds.",
    ),
    Decision(
        group=IP_REPUTATION,
        rules=("AWSManagedIPDDoSList",),
        action="count",
        reason="AWS itself only counts it; the rate limits handle floods.",
    ),
    Decision(
        group=COMMON,
        rules=("NoUserAgent_HEADER",),
        action="count",
        reason="Clients are servers, and some HTTP libraries send no User-Agent (PHP's curl, for example).",
    ),
    Decision(
        group=COMMON,
        rules=("SizeRestrictions_BODY",),
        action="count",
        reason="It blocks bodies above 8 KB, but the API accepts 64 KiB; `body-size` replaces it.",
    ),
    Decision(
        group=COMMON,
        rules=("CrossSiteScripting_BODY",),
        action="count",
        reason=_FREE_TEXT.format(used="rendered as a page"),
    ),
    Decision(
        group=COMMON,
        rules=("GenericLFI_BODY", "GenericRFI_BODY"),
        action="count",
        reason=_FREE_TEXT.format(used="opened as a file or an address"),
    ),
    Decision(
        group=COMMON,
        rules=("EC2MetaDataSSRF_BODY",),
        action="count",
        reason="The only URLs in a body that are ever called are webhook endpoints: https, port 443, public, pinned.",
    ),
    Decision(
        group=COMMON,
        rules=(
            "UserAgent_BadBots_HEADER",
            "SizeRestrictions_QUERYSTRING",
            "SizeRestrictions_Cookie_HEADER",
            "SizeRestrictions_URIPATH",
            "EC2MetaDataSSRF_COOKIE",
            "EC2MetaDataSSRF_URIPATH",
            "EC2MetaDataSSRF_QUERYARGUMENTS",
            "GenericLFI_QUERYARGUMENTS",
            "GenericLFI_URIPATH",
            "GenericRFI_QUERYARGUMENTS",
            "GenericRFI_URIPATH",
            "RestrictedExtensions_URIPATH",
            "RestrictedExtensions_QUERYARGUMENTS",
            "CrossSiteScripting_COOKIE",
            "CrossSiteScripting_QUERYARGUMENTS",
            "CrossSiteScripting_URIPATH",
        ),
        action="block",
        reason="The API's paths and queries contain ids, cursors, times and references, and it uses no cookies.",
    ),
    Decision(
        group=KNOWN_BAD_INPUTS,
        rules=("JavaDeserializationRCE_BODY", "Log4JRCE_BODY", "ReactJSRCE_BODY"),
        action="count",
        reason=_FREE_TEXT.format(used="read by Java or JavaScript"),
    ),
    Decision(
        group=KNOWN_BAD_INPUTS,
        rules=(
            "JavaDeserializationRCE_URIPATH",
            "JavaDeserializationRCE_QUERYSTRING",
            "JavaDeserializationRCE_HEADER",
            "Host_localhost_HEADER",
            "PROPFIND_METHOD",
            "ExploitablePaths_URIPATH",
            "Log4JRCE_QUERYSTRING",
            "Log4JRCE_URIPATH",
            "Log4JRCE_HEADER",
        ),
        action="block",
        reason="No valid request looks like one of these; they are probes.",
    ),
    Decision(
        group=SQL_INJECTION,
        rules=("SQLi_BODY", "SQLiExtendedPatterns_BODY"),
        action="count",
        reason=_FREE_TEXT.format(used="part of a statement (every one is parameterised)"),
    ),
    Decision(
        group=SQL_INJECTION,
        rules=(
            "SQLi_QUERYARGUMENTS",
            "SQLi_COOKIE",
            "SQLi_URIPATH",
            "SQLiExtendedPatterns_QUERYARGUMENTS",
            "SQLiExtendedPatterns_HEADER",
            "SQLiExtendedPatterns_URIPATH",
        ),
        action="block",
        reason="No query parameter is free text except `reference`, whose restriction docs/api.md explains.",
    ),
)

#: The groups in order of evaluation, with the web ACL capacity units (WCUs) that AWS publishes for each.
GROUPS: dict[str, int] = {IP_REPUTATION: 25, COMMON: 700, KNOWN_BAD_INPUTS: 200, SQL_INJECTION: 200}
