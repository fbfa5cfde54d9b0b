"""A stand-in for AWS's managed rule groups: their rules by name and label, decided by OWASP ModSecurity's engine.

What AWS's rules look for is not published. Here libinjection, which ModSecurity carries, finds SQL injection and
scripts, and a few expressions find what AWS gives as examples. Rules without one (`looks_for` empty) exist, so that
they can be named, and never match. Names and labels: "AWS Managed Rules rule groups list", AWS WAF Developer Guide; a
label is not always spelled as its rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from rehearsal.compute.errors import ComputeError
from rehearsal.compute.firewall.inspection import WebRequest

_SQL, _SCRIPT = "@detectSQLi", "@detectXSS"
_TRAVERSAL = r"@rx (?:\.\./){2}"
_METADATA = "@contains 169.254.169.254"
_JNDI = r"@rx (?i)\$\{jndi:"
_REMOTE_FILE = r"@rx (?i)(?:ftp|https?|file)://\d{1,3}(?:\.\d{1,3}){3}"
_QUERY, _BODY, _COOKIE, _PATH = "ARGS_GET", "REQUEST_BODY", "REQUEST_COOKIES", "REQUEST_FILENAME"


@dataclass(frozen=True, kw_only=True)
class ManagedRule:
    """A rule of a group: where and for what it looks, in ModSecurity's words, and what it does when it finds it."""

    name: str
    label: str
    where: str = ""
    looks_for: str = ""
    blocks: bool = True


@dataclass(frozen=True, kw_only=True)
class ManagedGroup:
    """A group of rules in the order of their evaluation; `namespace` begins each of its labels."""

    namespace: str
    rules: Sequence[ManagedRule]

    def label(self, rule: ManagedRule) -> str:
        """The label that a rule adds to what it matches."""
        return f"awswaf:managed:aws:{self.namespace}:{rule.label}"


def _rule(name: str, label: str, where: str = "", looks_for: str = "") -> ManagedRule:
    return ManagedRule(name=name, label=label, where=where, looks_for=looks_for)


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
            # Every client of a rehearsal calls `localhost`; on AWS none can.
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
    """ModSecurity with the rules of one group, which only tell what they match."""

    def __init__(self, group: ManagedGroup) -> None:
        try:
            from libmodsecurity import ModSecurity, RulesSet  # none for Linux on ARM
        except ImportError as error:
            raise ComputeError(
                "libmodsecurity is not installed: `make setup` installs it on x86-64 Linux and on Macs; there is no "
                "build for other machines, so what AWS's managed rules do cannot be rehearsed here"
            ) from error
        self._engine, self._rules = ModSecurity(), RulesSet()
        self._engine.set_rule_message_callback(lambda _message: None)  # otherwise it writes to standard error
        if self._rules.load(_configuration(group)) < 0:
            raise ComputeError(f"ModSecurity cannot read the rules of {group.namespace}: {self._error()}")

    def matches(self, request: WebRequest) -> set[str]:
        """Names of the rules that match a request."""
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

    def _error(self) -> str:
        return str(self._rules.get_parser_error())


@cache
def detector(group: str) -> Detector:
    """The detector of a group, made once: compiling its rules takes longer than any request.

    Raises:
        ComputeError: this machine cannot run one.
    """
    return Detector(GROUPS[group])


def _configuration(group: ManagedGroup) -> str:
    lines = ["SecRuleEngine DetectionOnly", "SecRequestBodyAccess On"]
    for number, rule in enumerate((rule for rule in group.rules if rule.looks_for), start=1):
        operator = rule.looks_for.replace('"', r"\"")
        decoded = ",t:urlDecodeUni" if rule.where in (_PATH, _COOKIE) else ""
        lines.append(
            f'SecRule {rule.where} "{operator}" "id:{number},phase:2,pass,log,t:none{decoded},msg:\'{rule.name}\'"'
        )
    return "\n".join(lines)
