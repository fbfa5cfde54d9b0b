"""How roles get permissions: one named managed policy each, stated whole where the role is made.

CDK's `grant_*` methods would add broader statements than needed (`s3:GetObject*`), from several places, as inline
policies. `WILDCARDS` is the one table of resources that IAM cannot name more finely; the tests read it.
"""

from collections.abc import Mapping, Sequence

from aws_cdk import aws_iam as iam

from stages.acknowledgements import acknowledge

#: Action to the reason why its statement says `"Resource": "*"`.
WILDCARDS: Mapping[str, str] = {
    "ecr:GetAuthorizationToken": "The token is the account's, not a repository's: IAM offers no resource for it.",
}
#: Action to the reason why its resource ends in `/*` or `:*`.
OPEN_ENDS: Mapping[str, str] = {
    "logs:CreateLogStream": "Streams of one log group; whoever writes chooses their names.",
    "logs:PutLogEvents": "As logs:CreateLogStream, for what is written into them.",
    "s3:DeleteObject": "All objects of one bucket are to be deleted; their keys are not known beforehand.",
    "s3:DeleteObjectVersion": "As s3:DeleteObject, for the versions of objects.",
    "s3:GetObjectVersion": "As s3:GetObject, for the versions of objects.",
    "s3:PutObject": "Objects of one bucket (access logs below the account's prefix, artifacts of the pipeline), whose "
    "keys the writer chooses.",
    "s3:GetObject": "Objects of one bucket (image layers of ECR, artifacts of the pipeline), under keys that nobody "
    "knows beforehand.",
}


def grant(role: iam.Role, *, name: str, statements: Sequence[iam.PolicyStatement]) -> iam.ManagedPolicy:
    """Give `role` exactly `statements`, as the managed policy `name`. What uses the role must depend on the result.

    Raises:
        ValueError: a statement allows an action on every resource, and nobody has said why.
    """
    for statement in statements:
        unexplained = set(statement.actions) - set(WILDCARDS)
        if "*" in statement.resources and unexplained:
            raise ValueError(
                f'{name}: {", ".join(sorted(unexplained))} on "*". Name the resource, or say in '
                "stages.policies.WILDCARDS why IAM cannot."
            )
    policy = iam.ManagedPolicy(role, "Policy", managed_policy_name=name, statements=list(statements), roles=[role])
    for statement in statements:
        if "*" in statement.resources:
            reasons = [WILDCARDS[action] for action in statement.actions]
            acknowledge(policy, {"AwsSolutions-IAM5[Resource::*]": " ".join(reasons)})
    return policy
