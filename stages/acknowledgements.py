"""Accept findings of the rule packs and of the scanner, each on its own resource, with a reason a reviewer can judge.

`docs/security.md` lists them all; `python -m stages.security_table` writes the list.
"""

from collections.abc import Mapping

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct

from stages.accepted import REASON, is_scanner_rule

SHOW_ALL = "show-all-findings"


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept the findings `reasons` (rule id to reason) on `construct` and nothing else.

    With the context key `show-all-findings` (`cdk synth -c show-all-findings=true`) the reasons are recorded but
    nothing is accepted, so that a reviewer sees what they cover.
    """
    for rule, reason in reasons.items():
        construct.node.add_metadata(REASON, {rule: reason})
    if construct.node.try_get_context(SHOW_ALL) in (True, "true"):
        return
    for rule, reason in ((one, why) for one, why in reasons.items() if not is_scanner_rule(one)):
        Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))
