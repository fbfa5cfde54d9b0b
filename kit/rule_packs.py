"""The rule packs that every synthesis of the whole app must pass."""

import cdk_nag
from aws_cdk import App, Validations


def add_rule_packs(app: App) -> None:
    """Fail synthesis on unacknowledged findings of AwsSolutions, NIST 800-53 R5 and PCI DSS 3.2.1.

    They are added to the app because plug-ins of a stack do not see the stacks inside its stages.
    """
    Validations.of(app).add_plugins(
        cdk_nag.AwsSolutionsChecks(app), cdk_nag.NIST80053R5Checks(app), cdk_nag.PCIDSS321Checks(app)
    )
