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
    "ecr:GetRegistryScanningConfiguration": "A setting of the whole registry: IAM offers no resource for it.",
    **dict.fromkeys(
        ("inspector2:ListCoverage", "inspector2:ListFindings"),
        "Reading what Amazon Inspector has found in images, for which it offers no resource.",
    ),
    **dict.fromkeys(
        (
            "elasticloadbalancing:DescribeListeners",
            "elasticloadbalancing:DescribeRules",
            "elasticloadbalancing:DescribeTargetGroups",
            "elasticloadbalancing:DescribeTargetHealth",
        ),
        "With canary deployments only: reading load balancers, for which Elastic Load Balancing offers no resource.",
    ),
}
_CDK_PIPELINES = "Written by CDK Pipelines into the policy of the artifact {} for roles that it names one by one; {}."
#: Actions with a wildcard, all of them in resource policies of the pipeline's artifacts, to the reason why.
WILDCARD_ACTIONS: Mapping[str, str] = {
    **dict.fromkeys(
        ("s3:GetBucket*", "s3:GetObject*", "s3:List*"),
        _CDK_PIPELINES.format("bucket", "reading artifacts is what the deploy roles are there for"),
    ),
    **dict.fromkeys(
        ("s3:Abort*", "s3:DeleteObject*"),
        _CDK_PIPELINES.format("bucket", "the pipeline's role owns what it stores there"),
    ),
    **dict.fromkeys(
        ("kms:GenerateDataKey*", "kms:ReEncrypt*"),
        _CDK_PIPELINES.format("key", "both families hold nothing but encryption"),
    ),
}
#: Action to the reason why its resource ends in `/*` or `:*`.
OPEN_ENDS: Mapping[str, str] = {
    "sts:AssumeRole": "The bootstrap's roles of the pipeline's own account in any region: a commit can add one, and "
    "what deploys it is the self-mutation role from before that commit.",
    "logs:CreateLogStream": "Streams of one log group; whoever writes chooses their names.",
    "logs:PutLogEvents": "As logs:CreateLogStream, for what is written into them.",
    "s3:DeleteObject": "All objects of one bucket are to be deleted; their keys are not known beforehand.",
    "s3:DeleteObjectVersion": "As s3:DeleteObject, for the versions of objects.",
    "s3:GetObjectVersion": "As s3:GetObject, for the versions of objects.",
    "s3:PutObject": "Artifacts of the pipeline in their one bucket, whose keys the writer chooses.",
    "s3:GetObject": "Objects of one bucket (image layers of ECR, artifacts of the pipeline), under keys that nobody "
    "knows beforehand; what may pass the S3 endpoint: objects of this account's buckets, for those who may read them.",
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
            reasons = dict.fromkeys(WILDCARDS[action] for action in statement.actions)
            acknowledge(policy, {"AwsSolutions-IAM5[Resource::*]": " ".join(reasons)})
    return policy
