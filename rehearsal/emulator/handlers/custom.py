"""A custom resource of the CDK, done in Python: its Node function needs an SDK that the emulator lacks."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from rehearsal.emulator.core.properties import Properties
from rehearsal.emulator.handlers.base import Handler, Request, Resource

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket


class S3AutoDeleteObjects(Handler):
    """Empties a bucket before it is deleted."""

    type_name = "Custom::S3AutoDeleteObjects"

    def create(self, request: Request) -> Resource:
        """Return the id; there is nothing to do yet."""
        return Resource(id=f"auto-delete-{request.properties['BucketName']}")

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Delete every version of every object, if the bucket still exists."""
        bucket: Bucket = self.context.session.resource("s3").Bucket(properties["BucketName"])
        try:
            bucket.object_versions.delete()
            bucket.objects.delete()
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise
