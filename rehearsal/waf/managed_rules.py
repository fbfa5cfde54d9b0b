"""A substitute for AWS's managed rule groups: rules with AWS's names and labels, on OWASP ModSecurity's engine.

AWS does not publish what its rules detect. Here libinjection, a part of ModSecurity, detects SQL injection and
cross-site scripting, and a few expressions detect AWS's own examples. Rules without an `operator` exist so that they
can be overridden, and never match. Names and labels: "AWS Managed Rules rule groups list", AWS WAF Developer Guide; a
label is not always spelled like its rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from rehearsal.host.errors import RehearsalError
from rehearsal.waf.web_request import WebRequest

_SQL, _SCRIPT = "@detectSQLi", "@detectXSS"
_TRAVERSAL = r"@rx (?:\.\./){2}"
_METADATA = "@contains 169.254.169.254"
_JNDI = r"@rx (?i)\$\{jndi:"
_REMOTE_FILE = r"@rx (?i)(?:ftp|https?|file)://\d{1,3}(?:\.\d{1,3}){3}"
_QUERY, _BODY, _COOKIE, _PATH = "ARGS_GET", "REQUEST_BODY", "REQUEST_COOKIES", "REQUEST_FILENAME"


@dataclass(frozen=True, kw_only=True)
class ManagedRule:
    """A rule of a group."""

    name: str
    label: str
    #: What it inspects, in ModSecurity's terms.
    variable: str = ""
    #: What it detects, in ModSecurity's terms; empty for a rule that never matches.
    operator: str = ""
    #: Whether its action is BLOCK, not COUNT.
    blocks: bool = True


@dataclass(frozen=True, kw_only=True)
class ManagedGroup:
    """A rule group; `namespace` is a part of each of its labels."""

    namespace: str
    rules: Sequence[ManagedRule]

    def label(self, rule: ManagedRule) -> str:
        """Return the label that a rule adds to matching requests."""
        return f"awswaf:managed:aws:{self.namespace}:{rule.label}"


def _rule(name: str, label: str, variable: str = "", operator: str = "") -> ManagedRule:
    return ManagedRule(name=name, label=label, variable=variable, operator=operator)


GROUPS: Mapping[str, ManagedGroup] = {
    "AWSManagedRulesAmazonIpReputationList": ManagedGroup(
        namespace="amazon-ip-list",
        rules=(
            _rule("AWSManagedIPReputationList", "AWSManagedIPReputationList"),
            _rule("AWSManagedReconnaissanceList", "AWSManagedReconnaissanceList"),
            ManagedRule(name="AWSManagedIPDDoSList", label="AWSManagedIPDDoSList", blocks=False),
        ),
    ),
    "AWSManagedRulesCommonRuleSet": ManagedGroup(
        namespace="core-rule-set",
        rules=(
            _rule("NoUserAgent_HEADER", "NoUserAgent_Header", "&REQUEST_HEADERS:User-Agent", "@eq 0"),
            _rule("UserAgent_BadBots_HEADER", "BadBots_Header", "REQUEST_HEADERS:User-Agent", "@rx (?i)nessus|nmap"),
            _rule("SizeRestrictions_QUERYSTRING", "SizeRestrictions_QueryString", "QUERY_STRING", "@rx ^.{2049}"),
            _rule(
                "SizeRestrictions_Cookie_HEADER",
                "SizeRestrictions_Cookie_Header",
                "REQUEST_HEADERS:Cookie",
                "@rx ^.{10241}",
            ),
            _rule("SizeRestrictions_BODY", "SizeRestrictions_Body", "REQUEST_HEADERS:Content-Length", "@gt 8192"),
            _rule("SizeRestrictions_URIPATH", "SizeRestrictions_URIPath", _PATH, "@rx ^.{1025}"),
            _rule("EC2MetaDataSSRF_BODY", "EC2MetaDataSSRF_Body", _BODY, _METADATA),
            _rule("EC2MetaDataSSRF_COOKIE", "EC2MetaDataSSRF_Cookie", _COOKIE, _METADATA),
            _rule("EC2MetaDataSSRF_URIPATH", "EC2MetaDataSSRF_URIPath", _PATH, _METADATA),
            _rule("EC2MetaDataSSRF_QUERYARGUMENTS", "EC2MetaDataSSRF_QueryArguments", _QUERY, _METADATA),
            _rule("GenericLFI_QUERYARGUMENTS", "GenericLFI_QueryArguments", _QUERY, _TRAVERSAL),
            _rule("GenericLFI_URIPATH", "GenericLFI_URIPath", _PATH, _TRAVERSAL),
            _rule("GenericLFI_BODY", "GenericLFI_Body", _BODY, _TRAVERSAL),
            _rule("RestrictedExtensions_URIPATH", "RestrictedExtensions_URIPath", _PATH, r"@rx \.(?:log|ini)$"),
            _rule("RestrictedExtensions_QUERYARGUMENTS", "RestrictedExtensions_QueryArguments"),
            _rule("GenericRFI_QUERYARGUMENTS", "GenericRFI_QueryArguments", _QUERY, _REMOTE_FILE),
            _rule("GenericRFI_BODY", "GenericRFI_Body", _BODY, _REMOTE_FILE),
            _rule("GenericRFI_URIPATH", "GenericRFI_URIPath", _PATH, _REMOTE_FILE),
            _rule("CrossSiteScripting_COOKIE", "CrossSiteScripting_Cookie", _COOKIE, _SCRIPT),
            _rule("CrossSiteScripting_QUERYARGUMENTS", "CrossSiteScripting_QueryArguments", _QUERY, _SCRIPT),
            _rule("CrossSiteScripting_BODY", "CrossSiteScripting_Body", _BODY, _SCRIPT),
            _rule("CrossSiteScripting_URIPATH", "CrossSiteScripting_URIPath", _PATH, _SCRIPT),
        ),
    ),
    "AWSManagedRulesKnownBadInputsRuleSet": ManagedGroup(
        namespace="known-bad-inputs",
        rules=(
            _rule("JavaDeserializationRCE_BODY", "JavaDeserializationRCE_Body"),
            _rule("JavaDeserializationRCE_URIPATH", "JavaDeserializationRCE_URIPath"),
            _rule("JavaDeserializationRCE_QUERYSTRING", "JavaDeserializationRCE_QueryString"),
            _rule("JavaDeserializationRCE_HEADER", "JavaDeserializationRCE_Header"),
            # Never matches: every client of a rehearsal calls localhost.
            _rule("Host_localhost_HEADER", "Host_Localhost_Header"),
            _rule("PROPFIND_METHOD", "Propfind_Method", "REQUEST_METHOD", "@streq PROPFIND"),
            _rule("ExploitablePaths_URIPATH", "ExploitablePaths_URIPath", _PATH, r"@rx (?i)/web-inf/|/\.env$"),
            _rule("Log4JRCE_QUERYSTRING", "Log4JRCE_QueryString", _QUERY, _JNDI),
            _rule("Log4JRCE_BODY", "Log4JRCE_Body", _BODY, _JNDI),
            _rule("Log4JRCE_URIPATH", "Log4JRCE_URIPath", _PATH, _JNDI),
            _rule("Log4JRCE_HEADER", "Log4JRCE_Header", "REQUEST_HEADERS", _JNDI),
            _rule("ReactJSRCE_BODY", "ReactJSRCE_Body"),
        ),
    ),
    "AWSManagedRulesSQLiRuleSet": ManagedGroup(
        namespace="sql-database",
        rules=(
            _rule("SQLi_QUERYARGUMENTS", "SQLi_QueryArguments", _QUERY, _SQL),
            _rule("SQLiExtendedPatterns_QUERYARGUMENTS", "SQLiExtendedPatterns_QueryArguments"),
            _rule("SQLi_BODY", "SQLi_Body", _BODY, _SQL),
            _rule("SQLiExtendedPatterns_BODY", "SQLiExtendedPatterns_Body"),
            _rule("SQLiExtendedPatterns_HEADER", "SQLiExtendedPatterns_Header"),
            _rule("SQLiExtendedPatterns_URIPATH", "SQLiExtendedPatterns_UriPath"),
            _rule("SQLi_COOKIE", "SQLi_Cookie", _COOKIE, _SQL),
            _rule("SQLi_URIPATH", "SQLi_URIPath", _PATH, _SQL),
        ),
    ),
}


class Detector:
    """ModSecurity with the rules of one group, in detection-only mode."""

    def __init__(self, group: ManagedGroup) -> None:
        try:
            from libmodsecurity import ModSecurity, RulesSet  # there is no wheel for Linux on ARM
        except ImportError as error:
            raise RehearsalError(
                "libmodsecurity is not installed: it exists for x86-64 Linux and for Macs only, so that web ACLs with "
                "managed rule groups cannot be rehearsed on this machine"
            ) from error
        self._engine, self._rules = ModSecurity(), RulesSet()
        self._engine.set_rule_message_callback(lambda _message: None)  # the default writes to standard error
        if self._rules.load(_configuration(group)) < 0:
            raise RehearsalError(
                f"ModSecurity refuses the rules of {group.namespace}: {self._rules.get_parser_error()}"
            )

    def matches(self, request: WebRequest) -> set[str]:
        """Return the names of the rules that match a request."""
        target = f"{request.path}?{request.query}" if request.query else request.path
        with self._engine.transaction(self._rules) as transaction:
            transaction.process_connection(request.client, 1, request.client, 443)
            transaction.process_uri(target, request.method, "1.1")
            for name, values in request.headers.items():
                for value in values:
                    transaction.add_request_header(name, value)
            transaction.process_request_headers()
            if request.body:
                transaction.append_request_body(request.body)
            transaction.process_request_body()
            return {message.message for message in transaction.get_rule_messages()}


@cache
def detector(group: str) -> Detector:
    """Return the detector of a group, created once: compiling its rules takes longer than any request.

    Raises:
        RehearsalError: ModSecurity is not available.

    """
    return Detector(GROUPS[group])


def _configuration(group: ManagedGroup) -> str:
    lines = ["SecRuleEngine DetectionOnly", "SecRequestBodyAccess On"]
    for number, rule in enumerate((rule for rule in group.rules if rule.operator), start=1):
        operator = rule.operator.replace('"', r"\"")
        decoded = ",t:urlDecodeUni" if rule.variable in (_PATH, _COOKIE) else ""
        lines.append(
            f'SecRule {rule.variable} "{operator}" "id:{number},phase:2,pass,log,t:none{decoded},msg:\'{rule.name}\'"'
        )
    return "\n".join(lines)
