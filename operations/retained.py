"""What AWS itself retains after everything has been deleted, and until when."""

from collections.abc import Iterable, Iterator

from boto3.session import Session
from botocore.exceptions import ClientError

from operations.installation import Stack


def retained_by_aws(session: Session, stacks: Iterable[Stack]) -> Iterator[str]:
    """Yield one line for each thing that cannot be deleted at once; `stacks` as they were before their deletion."""
    for stack in stacks:
        kms = session.client("kms", region_name=stack.region)
        for key_id in stack.ids("AWS::KMS::Key"):
            try:
                key = kms.describe_key(KeyId=key_id)["KeyMetadata"]
            except ClientError as error:
                if error.response["Error"]["Code"] == "NotFoundException":
                    continue
                raise
            if key["KeyState"] == "PendingDeletion":
                yield f"key {key_id} of {stack.name}: until {key['DeletionDate']:%Y-%m-%d}, free of charge"
    pages = session.client("iam").get_paginator("list_roles").paginate(PathPrefix="/aws-service-role/")
    roles = sorted(role["RoleName"] for page in pages for role in page["Roles"])
    if roles:
        yield f"service-linked roles, shared by the whole account, free of charge: {', '.join(roles)}"
    yield "names and events of deleted stacks: 90 days; metrics: up to 15 months; both free of charge"
