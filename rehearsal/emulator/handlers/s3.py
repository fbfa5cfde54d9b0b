"""S3: buckets that cannot be deleted while they are not empty."""

from rehearsal.emulator.core.properties import Properties, ResourceError
from rehearsal.emulator.handlers.base import WrappingHandler


class Bucket(WrappingHandler):
    """A bucket; the emulator's own handler would delete it with its objects."""

    type_name = "AWS::S3::Bucket"

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Delete the bucket, unless it has a version of an object."""
        versions = self.context.session.client("s3").list_object_versions(Bucket=resource_id, MaxKeys=1)
        if versions.get("Versions") or versions.get("DeleteMarkers"):
            raise ResourceError(
                f"The bucket you tried to delete is not empty. You must delete all versions in {resource_id}."
            )
        super().delete(resource_id, properties)
