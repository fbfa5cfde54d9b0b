"""S3: buckets that, like real ones, cannot be deleted while anything is in them."""

from rehearsal.emulator.handlers.base import Handler, Properties, ResourceError
from rehearsal.emulator.handlers.wrapping import WrappingHandler


class Bucket(WrappingHandler):
    """A bucket; the emulator's own handler would delete one with all of its objects."""

    type_name = "AWS::S3::Bucket"

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Delete the bucket; refused while it holds any version of any object."""
        versions = self.account.session.client("s3").list_object_versions(Bucket=resource_id, MaxKeys=1)
        if versions.get("Versions") or versions.get("DeleteMarkers"):
            raise ResourceError(
                f"The bucket you tried to delete is not empty. You must delete all versions in {resource_id}."
            )
        self.emulated.delete(resource_id, properties)


HANDLERS: tuple[type[Handler], ...] = (Bucket,)
