"""Where an account holds stacks of ours: every region that it has enabled, and what could not be looked at."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError

from operations.installation import Installation, is_of_pipeline, name_of

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.client import CloudFormationClient

#: Name that `cdk bootstrap` gives its stack unless told otherwise.
TOOLKIT = "CDKToolkit"

_DEFAULT_REGION = "us-east-1"
_AT_ONCE = 8


class UnseenError(Exception):
    """Something could not be looked at, so that nobody knows what is there; the message names it all."""


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A stack, of whichever installation."""

    id: str
    name: str
    region: str
    tags: Mapping[str, str]

    @property
    def installation(self) -> str | None:
        """Name of the installation that its tags tell; None where they tell none."""
        return name_of(self.tags, is_pipeline=is_of_pipeline(self.name))


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a look into an account has shown."""

    #: Every stack of the project, by region and name.
    stacks: tuple[Sighting, ...]
    #: Regions with a CDK bootstrap, which may hold assets.
    bootstrapped: frozenset[str]


def home_region(session: Session) -> str:
    """Return the region for what is global or needs any region."""
    return session.region_name or _DEFAULT_REGION


def account_of(session: Session) -> str:
    """Return the account of the credentials.

    Raises:
        UnseenError: there are none, or they do not work.
    """
    try:
        return session.client("sts", region_name=home_region(session)).get_caller_identity()["Account"]
    except (ClientError, BotoCoreError) as error:
        raise UnseenError(f"no account, for the credentials do not work: {error}") from error


def enabled_regions(session: Session) -> set[str]:
    """Return every region in which the account can hold a stack.

    Raises:
        UnseenError: EC2 does not tell.
    """
    try:
        regions = session.client("ec2", region_name=home_region(session)).describe_regions()["Regions"]
    except (ClientError, BotoCoreError) as error:
        raise UnseenError(f"which regions the account has enabled: {error}") from error
    return {region["RegionName"] for region in regions if region.get("RegionName")}


def look(session: Session, project: str, regions: Iterable[str], *, toolkit: str = TOOLKIT) -> Seen:
    """Look for the stacks of the project in these regions.

    Raises:
        UnseenError: naming each region that could not be looked at.
    """
    stacks: list[Sighting] = []
    bootstrapped, unseen = set[str](), list[str]()
    # Made here: clients may be shared among threads, a session may not.
    clients = {region: session.client("cloudformation", region_name=region) for region in sorted(regions)}
    with ExitStack() as connections:
        for client in clients.values():
            connections.callback(client.close)
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            jobs = {region: pool.submit(_stacks, client, region) for region, client in clients.items()}
    for region, job in jobs.items():
        error = job.exception()
        if isinstance(error, ClientError | BotoCoreError):
            unseen.append(f"region {region}: {error}")
            continue
        found = job.result()
        stacks += [one for one in found if one.tags.get("project") == project]
        if any(one.name == toolkit for one in found):
            bootstrapped.add(region)
    if unseen:
        raise UnseenError("\n".join(unseen))
    return Seen(stacks=tuple(stacks), bootstrapped=frozenset(bootstrapped))


def last_deletion(
    session: Session, installation: Installation, regions: Iterable[str], *, suffix: str | None
) -> datetime | None:
    """Return when CloudFormation deleted a stack of the installation, which it remembers for 90 days.

    With `suffix`, a stack of that environment. None where it remembers nothing.
    """
    dates: list[datetime] = []
    for region in regions:
        client = session.client("cloudformation", region_name=region)
        pages = client.get_paginator("list_stacks").paginate(StackStatusFilter=["DELETE_COMPLETE"])
        for gone in (one for page in pages for one in page["StackSummaries"]):
            if not gone["StackName"].startswith(("PipelineStack", "payment-")):
                continue  # a look at each costs a call
            stack = client.describe_stacks(StackName=gone["StackId"])["Stacks"][0]
            tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())}
            if installation.owns(tags, is_pipeline=is_of_pipeline(gone["StackName"])) and (
                suffix in {None, tags["environment-suffix"]}
            ):
                dates.append(gone.get("DeletionTime") or gone["CreationTime"])
    return max(dates, default=None)


def _stacks(client: "CloudFormationClient", region: str) -> list[Sighting]:
    """Return all stacks of a region, whosesoever they are."""
    return [
        Sighting(
            id=stack["StackId"],
            name=stack["StackName"],
            region=region,
            tags={tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())},
        )
        for page in client.get_paginator("describe_stacks").paginate()
        for stack in page["Stacks"]
        if stack["StackStatus"] != "DELETE_COMPLETE"
    ]
