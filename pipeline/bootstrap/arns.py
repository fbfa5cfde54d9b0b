"""ARNs of what `cdk bootstrap` creates in an account and region, before anything else is deployed."""

from collections.abc import Iterable

#: The CDK's default qualifier. Names contain account and region, so nothing else matches.
_QUALIFIER = "hnb659fds"
ANY_REGION = "*"


def bootstrap_role_arns(kind: str, locations: Iterable[tuple[str, str]]) -> list[str]:
    """Return the ARNs of a bootstrap role.

    Args:
        kind: `deploy`, `file-publishing`, `image-publishing` or `lookup`.
        locations: Pairs of account and region; the region may be `ANY_REGION`.
    """
    return [
        f"arn:aws:iam::{account}:role/cdk-{_QUALIFIER}-{kind}-role-{account}-{region}"
        for account, region in dict.fromkeys(locations)
    ]


def bootstrap_repository_arns(locations: Iterable[tuple[str, str]]) -> list[str]:
    """Return the ARNs of the bootstrap's image repositories in pairs of account and region."""
    return [
        f"arn:aws:ecr:{region}:{account}:repository/cdk-{_QUALIFIER}-container-assets-{account}-{region}"
        for account, region in locations
    ]
