"""Custom resources of the CDK: their Node functions need an SDK that is not here, so the same effect in Python."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from rehearsal.emulator.handlers.base import Handler, Properties, Request, Resource

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket


class S3AutoDeleteObjects(Handler):
    """Empties a bucket before it is deleted."""

    type_name = "Custom::S3AutoDeleteObjects"

    def create(self, request: Request) -> Resource:
        """Do nothing yet."""
        return Resource(id=f"auto-delete-{request.properties['BucketName']}")

    def delete(self, resource_id: str, properties: Properties) -> None:  # noqa: ARG002
        """Delete every version of every object, unless the bucket is gone."""
        bucket: Bucket = self.account.session.resource("s3").Bucket(properties["BucketName"])
        try:
            bucket.object_versions.delete()
            bucket.objects.delete()
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise


class VpcRestrictDefaultSg(Handler):
    """Takes the rules out of a network's default security group."""

    type_name = "Custom::VpcRestrictDefaultSG"

    def create(self, request: Request) -> Resource:
        """Revoke every rule."""
        group = request.properties["DefaultSecurityGroupId"]
        ec2 = self.account.session.client("ec2")
        rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
        for rule in rules["SecurityGroupRules"]:
            revoke = ec2.revoke_security_group_egress if rule["IsEgress"] else ec2.revoke_security_group_ingress
            revoke(GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
        return Resource(id=f"restricted-{group}")

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Leave the group closed; it goes with its network."""


HANDLERS: tuple[type[Handler], ...] = (S3AutoDeleteObjects, VpcRestrictDefaultSg)
