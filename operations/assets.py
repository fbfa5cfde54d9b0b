"""The installation's assets in the CDK bootstrap bucket and repository, which other apps of the account share."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any  # templates are untyped JSON

from boto3.session import Session
from botocore.exceptions import ClientError

from operations.installation import PIPELINE_TYPE, Installation, Stack

_HASH = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
#: Bytes; CloudFormation itself accepts at most 1 MB.
_MAX_TEMPLATE_SIZE = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Assets:
    """Assets in one region: keys in the bootstrap bucket, image tags in the bootstrap repository."""

    bucket: str
    keys: frozenset[str]
    repository: str
    images: frozenset[str]


def find_assets(
    session: Session, region: str, installation: Installation, stacks: Iterable[Stack], *, toolkit: str
) -> Assets | None:
    """Find the installation's assets, including those of earlier deployments; None if the region is not bootstrapped.

    A template in the bucket belongs to the installation if a resource in it has the installation's tags, or if it is
    the template of one of `stacks`. So does every asset that such a template mentions, unless a foreign template
    mentions it too: assets are named by their content, and two apps may use the same one.
    """
    outputs = _outputs(session, region, toolkit)
    if outputs is None:
        return None
    bucket, repository = outputs["BucketName"], outputs["ImageRepositoryName"]
    live = [stack.template for stack in stacks if stack.region == region]
    sizes = _sizes(session, region, bucket)
    own, mentioned, foreign = set[str](), _hashes(live), set[str]()
    for key, template in _templates(session, region, bucket, sizes):
        if template in live or installation.owns(_tags(template), is_pipeline=_has_pipeline(template)):
            own.add(key)
            mentioned |= _hashes(template)
        else:
            foreign |= _hashes(template)
    exclusive = mentioned - foreign
    return Assets(
        bucket=bucket,
        keys=frozenset(own | {key for key in sizes if key.split(".")[0] in exclusive}),
        repository=repository,
        images=frozenset(_images(session, region, repository) & exclusive),
    )


def delete_assets(session: Session, region: str, assets: Assets, *, report: Callable[[str], None]) -> None:
    """Delete every version of these assets."""
    bucket = session.resource("s3", region_name=region).Bucket(assets.bucket)
    for key in sorted(assets.keys):
        bucket.object_versions.filter(Prefix=key).delete()
    if assets.keys:
        report(f"deleted {len(assets.keys)} asset(s) from bucket {assets.bucket}")
    ecr = session.client("ecr", region_name=region)
    for tag in sorted(assets.images):
        ecr.batch_delete_image(repositoryName=assets.repository, imageIds=[{"imageTag": tag}])
    if assets.images:
        report(f"deleted {len(assets.images)} image(s) from repository {assets.repository}")


def _outputs(session: Session, region: str, toolkit: str) -> dict[str, str] | None:
    try:
        stacks = session.client("cloudformation", region_name=region).describe_stacks(StackName=toolkit)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}


def _sizes(session: Session, region: str, bucket: str) -> dict[str, int]:
    """Return the size in bytes of every object, by key."""
    pages = session.client("s3", region_name=region).get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ())}


def _templates(
    session: Session, region: str, bucket: str, sizes: Mapping[str, int]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield key and content of every template in the bucket."""
    s3 = session.client("s3", region_name=region)
    for key, size in sizes.items():
        if key.endswith(".json") and size <= _MAX_TEMPLATE_SIZE:
            try:
                content = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            except ValueError:
                continue
            if isinstance(content, Mapping) and "Resources" in content:
                yield key, content


def _images(session: Session, region: str, repository: str) -> set[str]:
    pages = session.client("ecr", region_name=region).get_paginator("list_images").paginate(repositoryName=repository)
    return {image["imageTag"] for page in pages for image in page["imageIds"] if image.get("imageTag")}


def _hashes(value: object) -> set[str]:
    """Return every asset hash in a template."""
    return set(_HASH.findall(json.dumps(value, default=str)))


def _tags(template: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a template's resources: tags of the stack are on every resource that supports tags."""
    tags: dict[str, str] = {}
    for resource in template["Resources"].values():
        given = resource.get("Properties", {}).get("Tags", ())
        if isinstance(given, list):
            tags |= {tag["Key"]: tag["Value"] for tag in given if isinstance(tag.get("Value"), str)}
    return tags


def _has_pipeline(template: Mapping[str, Any]) -> bool:
    return any(resource["Type"] == PIPELINE_TYPE for resource in template["Resources"].values())
