"""What `cdk bootstrap` has made in an account and region, by name: there before anything of ours."""

from collections.abc import Iterable

#: Names hold account and region, so nothing else matches.
_QUALIFIER = "hnb659fds"
ANY_REGION = "*"


def bootstrap_role_arns(kind: str, places: Iterable[tuple[str, str]]) -> list[str]:
    """ARNs of a bootstrap role (`deploy`, `file-publishing`, `image-publishing`, `lookup`) in accounts and regions."""
    return [
        f"arn:aws:iam::{account}:role/cdk-{_QUALIFIER}-{kind}-role-{account}-{region}"
        for account, region in dict.fromkeys(places)
    ]


def bootstrap_repository_arns(places: Iterable[tuple[str, str]]) -> list[str]:
    """ARNs of the bootstrap's image repositories in accounts and regions."""
    return [
        f"arn:aws:ecr:{region}:{account}:repository/cdk-{_QUALIFIER}-container-assets-{account}-{region}"
        for account, region in places
    ]
