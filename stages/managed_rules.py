"""What the web ACL does with each rule of AWS's managed groups, and why: the one table of decisions.

Every rule that AWS documents is named, for two reasons. A rule blocks with AWS's HTML page unless the web ACL overrides
its action by name with a response of its own. And AWS ignores, silently, an override whose name no rule has. So: a rule
that AWS adds later blocks with AWS's page until it is named here, and names of other static versions do no harm.

Sources: "AWS Managed Rules rule groups list" (names, WCUs) in the AWS WAF Developer Guide, `RuleActionOverride` in the
API reference. What is in force: `aws wafv2 describe-managed-rule-group --vendor-name AWS --scope REGIONAL --name NAME`.
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
    """What is done with some rules of a group: `block` answers `request_blocked`, `count` only counts."""

    group: str
    rules: Sequence[str]
    action: Literal["block", "count"]
    reason: str


_FREE_TEXT = (
    "A legal body carries free text (`description`, metadata, a processor's webhook) and none of it is ever {used}. "
    "Only the first 8 KB of a body are judged anyway."
)

DECISIONS: tuple[Decision, ...] = (
    Decision(
        group=IP_REPUTATION,
        rules=("AWSManagedIPReputationList", "AWSManagedReconnaissanceList"),
        action="block",
        reason="Addresses that attack others. Processors' webhooks are exempt: they are signed, and come from clouds.",
    ),
    Decision(
        group=IP_REPUTATION,
        rules=("AWSManagedIPDDoSList",),
        action="count",
        reason="AWS itself only counts it; what floods is for the rate limits.",
    ),
    Decision(
        group=COMMON,
        rules=("NoUserAgent_HEADER",),
        action="count",
        reason="Servers are our clients, and some libraries send no User-Agent (PHP's curl, for one).",
    ),
    Decision(
        group=COMMON,
        rules=("SizeRestrictions_BODY",),
        action="count",
        reason="It refuses bodies above 8 KB, the API takes 64 KiB; `body-size` takes its place.",
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
        reason="The only addresses in a body that are called are webhook endpoints: https, port 443, public, pinned.",
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
        reason="The API's paths and queries are ids, cursors, times and references, and it has no cookies.",
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
        reason="No legal request looks like one of these; they are probes.",
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
        reason="What finds objects is not free text, but for the `reference` of a list, which docs/api.md speaks of.",
    ),
)

#: In the order of evaluation, with the web ACL capacity units that AWS publishes for each.
GROUPS: dict[str, int] = {IP_REPUTATION: 25, COMMON: 700, KNOWN_BAD_INPUTS: 200, SQL_INJECTION: 200}
