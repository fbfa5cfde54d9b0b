"""How roles get permissions: one named managed policy each, stated whole where the role is made.

CDK's `grant_*` methods would add broader statements than needed (`s3:GetObject*`), from several places, as inline
policies. `WILDCARDS` is the one table of resources that IAM cannot name more finely; the tests read it.
"""

from collections.abc import Mapping, Sequence

from aws_cdk import aws_iam as iam

#: Action to the reason why its statement says `"Resource": "*"`.
WILDCARDS: Mapping[str, str] = {
    "ecr:GetAuthorizationToken": "The token is the account's, not a repository's: IAM offers no resource for it.",
}
#: Resource suffix to the reason why names below a prefix stay open.
OPEN_ENDS: Mapping[str, str] = {}


def grant(role: iam.Role, *, name: str, statements: Sequence[iam.PolicyStatement]) -> iam.ManagedPolicy:
    """Give `role` exactly `statements`, as the managed policy `name`. What uses the role must depend on the result."""
    return iam.ManagedPolicy(role, "Policy", managed_policy_name=name, statements=list(statements), roles=[role])
