"""Acknowledge findings of the rule packs and of the scanner, each on its own resource, with a reason.

`docs/security.md` lists them all; `python -m kit.security_table` writes the list.
"""

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct

from kit.findings import METADATA_TYPE, is_scanner_rule

SHOW_ALL = "show-all-findings"


def acknowledge(construct: IConstruct, *rules: str, reason: str) -> None:
    """Acknowledge the findings of `rules` on `construct` and nothing else.

    With the context key `show-all-findings` (`cdk synth -c show-all-findings=true`) the reasons are recorded but
    nothing is acknowledged, so that a reviewer sees what they cover.
    """
    show_all = construct.node.try_get_context(SHOW_ALL) in (True, "true")
    for rule in rules:
        construct.node.add_metadata(METADATA_TYPE, {rule: reason})
        if not show_all and not is_scanner_rule(rule):
            Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))
