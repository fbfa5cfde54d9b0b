"""How roles get permissions: one named managed policy each, stated in full where the role is created.

CDK's `grant_*` methods would add broader statements than needed (`s3:GetObject*`), from several places, as inline
policies. The tables below are the only places that explain wildcards; the tests and docs/security.md read them.
"""

from collections.abc import Mapping, Sequence

from aws_cdk import aws_iam as iam

from kit.acknowledgements import acknowledge

#: Actions allowed on the resource `*`, each with the reason.
WILDCARD_RESOURCES: Mapping[str, str] = {
    "ecr:GetAuthorizationToken": "The token is the account's, not a repository's: IAM offers no resource for it.",
    "ecr:GetRegistryScanningConfiguration": "A setting of the whole registry: IAM offers no resource for it.",
    **dict.fromkeys(
        ("inspector2:ListCoverage", "inspector2:ListFindings"),
        "Reads Amazon Inspector's findings in images: IAM offers no resource for them.",
    ),
    **dict.fromkeys(
        (
            "elasticloadbalancing:DescribeListeners",
            "elasticloadbalancing:DescribeRules",
            "elasticloadbalancing:DescribeTargetGroups",
            "elasticloadbalancing:DescribeTargetHealth",
        ),
        "With canary deployments only: describes load balancers, for which IAM offers no resource.",
    ),
}
_CDK_PIPELINES = "Added by CDK Pipelines to the policy of the artifact {} for roles that it names one by one: {}."
#: Wildcard actions, all of them in resource policies of the pipeline's artifacts, each with the reason.
WILDCARD_ACTIONS: Mapping[str, str] = {
    **dict.fromkeys(
        ("s3:GetBucket*", "s3:GetObject*", "s3:List*"),
        _CDK_PIPELINES.format("bucket", "reading artifacts is the purpose of the deploy roles"),
    ),
    **dict.fromkeys(
        ("s3:Abort*", "s3:DeleteObject*"),
        _CDK_PIPELINES.format("bucket", "the pipeline's role owns what it stores there"),
    ),
    **dict.fromkeys(
        ("kms:GenerateDataKey*", "kms:ReEncrypt*"),
        _CDK_PIPELINES.format("key", "both families contain encryption actions only"),
    ),
}
#: Actions allowed on resources that end in `/*` or `:*`, each with the reason.
PREFIX_RESOURCES: Mapping[str, str] = {
    "sts:AssumeRole": "The bootstrap roles of the pipeline's own account in any region: a commit can add a region, and "
    "the self-mutation role that deploys it dates from before that commit.",
    "logs:CreateLogStream": "Streams of one log group, whose names the writer chooses.",
    "logs:PutLogEvents": "As logs:CreateLogStream, for the events in the streams.",
    "s3:DeleteObject": "All objects of one bucket, whose keys are not known in advance.",
    "s3:DeleteObjectVersion": "As s3:DeleteObject, for object versions.",
    "s3:GetObjectVersion": "As s3:GetObject, for object versions.",
    "s3:PutObject": "Artifacts of the pipeline in their one bucket, whose keys the writer chooses.",
    "s3:GetObject": "Objects of one bucket (ECR image layers, pipeline artifacts) whose keys are not known in advance; "
    "through the S3 endpoint: objects in this account's buckets, for principals that may read them.",
}


def allow(
    sid: str, actions: Sequence[str], resources: Sequence[str], conditions: Mapping[str, object] | None = None
) -> iam.PolicyStatement:
    """Return a statement of an identity policy that allows `actions` on `resources`."""
    return iam.PolicyStatement(sid=sid, actions=list(actions), resources=list(resources), conditions=conditions)


def grant(role: iam.Role, *, name: str, statements: Sequence[iam.PolicyStatement]) -> iam.ManagedPolicy:
    """Give `role` exactly `statements`, as the managed policy `name`.

    Returns:
        The policy, on which everything that uses the role must depend.

    Raises:
        ValueError: A statement allows an action on every resource without an explanation in `WILDCARD_RESOURCES`.
    """
    policy = iam.ManagedPolicy(role, "Policy", managed_policy_name=name, statements=list(statements), roles=[role])
    for statement in statements:
        if "*" in statement.resources:
            unexplained = set(statement.actions) - set(WILDCARD_RESOURCES)
            if unexplained:
                raise ValueError(
                    f'{name}: {", ".join(sorted(unexplained))} on "*". Name the resource, or explain in '
                    "kit.policies.WILDCARD_RESOURCES why IAM cannot."
                )
            reasons = dict.fromkeys(WILDCARD_RESOURCES[action] for action in statement.actions)
            acknowledge(policy, "AwsSolutions-IAM5[Resource::*]", reason=" ".join(reasons))
    return policy
