"""Search an account for stacks of the project, in every enabled region."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError

from operations.installation import Installation, installation_name, is_pipeline_stack

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.client import CloudFormationClient

#: Default name of the bootstrap stack.
TOOLKIT = "CDKToolkit"

_DEFAULT_REGION = "us-east-1"
_THREADS = 8


class AccessError(Exception):
    """An account or region could not be searched, so its contents are unknown; the message names all of them."""


@dataclass(frozen=True, kw_only=True)
class StackSummary:
    """A stack of any installation."""

    id: str
    name: str
    region: str
    tags: Mapping[str, str]

    @property
    def installation(self) -> str | None:
        """Name of the installation in its tags, or None without one."""
        return installation_name(self.tags, is_pipeline=is_pipeline_stack(self.name))


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search of an account found."""

    #: Every stack of the project.
    stacks: tuple[StackSummary, ...]
    #: Regions with a CDK bootstrap, which may hold assets.
    bootstrapped: frozenset[str]


def home_region(session: Session) -> str:
    """Return the region for calls that are global or work in any region."""
    return session.region_name or _DEFAULT_REGION


def account_of(session: Session) -> str:
    """Return the account of the credentials.

    Raises:
        AccessError: There are no credentials, or they do not work.
    """
    try:
        return session.client("sts", region_name=home_region(session)).get_caller_identity()["Account"]
    except (ClientError, BotoCoreError) as error:
        raise AccessError(f"the account, because the credentials do not work: {error}") from error


def enabled_regions(session: Session) -> set[str]:
    """Return every region in which the account can have stacks.

    Raises:
        AccessError: EC2 does not return the regions.
    """
    try:
        regions = session.client("ec2", region_name=home_region(session)).describe_regions()["Regions"]
    except (ClientError, BotoCoreError) as error:
        raise AccessError(f"the enabled regions of the account: {error}") from error
    return {region["RegionName"] for region in regions if region.get("RegionName")}


def search(session: Session, project: str, regions: Iterable[str], *, toolkit: str = TOOLKIT) -> SearchResult:
    """Search these regions for stacks of the project.

    Raises:
        AccessError: Naming each region that could not be searched.
    """
    stacks: list[StackSummary] = []
    bootstrapped, failures = set[str](), list[str]()
    # Clients are created here: threads may share clients, but not a session.
    clients = {region: session.client("cloudformation", region_name=region) for region in sorted(regions)}
    with ExitStack() as connections:
        for client in clients.values():
            connections.callback(client.close)
        with ThreadPoolExecutor(max_workers=_THREADS) as pool:
            jobs = {region: pool.submit(_stacks, client, region) for region, client in clients.items()}
    for region, job in jobs.items():
        error = job.exception()
        if isinstance(error, ClientError | BotoCoreError):
            failures.append(f"region {region}: {error}")
            continue
        found = job.result()
        stacks += [stack for stack in found if stack.tags.get("project") == project]
        if any(stack.name == toolkit for stack in found):
            bootstrapped.add(region)
    if failures:
        raise AccessError("\n".join(failures))
    return SearchResult(stacks=tuple(stacks), bootstrapped=frozenset(bootstrapped))


def was_deleted(session: Session, installation: Installation, regions: Iterable[str], *, suffix: str | None) -> bool:
    """Return whether CloudFormation, which remembers 90 days, has deleted a stack of the installation.

    Args:
        session: Session of the account.
        installation: The installation.
        regions: Where to look.
        suffix: Suffix of one environment, to look for its stacks only.
    """
    for region in regions:
        client = session.client("cloudformation", region_name=region)
        pages = client.get_paginator("list_stacks").paginate(StackStatusFilter=["DELETE_COMPLETE"])
        for summary in (one for page in pages for one in page["StackSummaries"]):
            if not summary["StackName"].startswith(("PipelineStack", "payment-")):
                continue  # reading the tags costs one call for each stack
            stack = client.describe_stacks(StackName=summary["StackId"])["Stacks"][0]
            tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())}
            if installation.owns(tags, is_pipeline=is_pipeline_stack(summary["StackName"])) and (
                suffix in {None, tags["environment-suffix"]}
            ):
                return True
    return False


def _stacks(client: "CloudFormationClient", region: str) -> list[StackSummary]:
    """Return all stacks of a region, whoever owns them."""
    return [
        StackSummary(
            id=stack["StackId"],
            name=stack["StackName"],
            region=region,
            tags={tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())},
        )
        for page in client.get_paginator("describe_stacks").paginate()
        for stack in page["Stacks"]
        if stack["StackStatus"] != "DELETE_COMPLETE"
    ]
