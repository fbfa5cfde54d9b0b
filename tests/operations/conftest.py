"""An emulated account, empty for each test and bootstrapped as far as a destroy looks."""

import json
import shutil
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3.session
import pytest

from operations.destroy import Pace
from rehearsal.emulator import client
from rehearsal.emulator.inventory import difference, in_words, take_inventory
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.stacks import Stacks, ref, resource

REGION = "us-east-1"
PACE = Pace(poll_seconds=0.05, settle_seconds=0.3)
BUCKET, REPOSITORY = "cdk-hnb659fds-assets-000000000000-us-east-1", "cdk-hnb659fds-container-assets"


@dataclass
class Account:
    """An account with the bootstrap stack, and what a test says about it."""

    session: boto3.session.Session
    stacks: Stacks
    records: Path
    said: list[str] = field(default_factory=list)
    baseline: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def remember(self) -> None:
        """Take what the account holds now for what a destroy has to leave."""
        self.baseline = take_inventory(self.session, records=self.records)

    def left(self) -> str:
        """Say what the account holds beyond that."""
        return in_words(difference(self.baseline, take_inventory(self.session, records=self.records)))

    def missing(self) -> str:
        """Say what of that the account does not hold any longer."""
        return in_words(difference(take_inventory(self.session, records=self.records), self.baseline))

    def deploy(self, name: str, resources: Mapping[str, Any], suffix: str, **more: Any) -> dict[str, str]:
        """Deploy a stack with our tags."""
        tags = {"project": "payment-pipeline", "environment-suffix": suffix}
        return self.stacks.deploy(name, resources, tags=tags, **more)

    def upload(self, key: str, content: Mapping[str, Any]) -> None:
        """Put an asset into the bootstrap bucket."""
        self.session.client("s3").put_object(Bucket=BUCKET, Key=key, Body=json.dumps(content).encode())

    def assets(self) -> set[str]:
        """Return the keys in the bootstrap bucket."""
        listed = self.session.client("s3").list_objects_v2(Bucket=BUCKET)
        return {one["Key"] for one in listed.get("Contents", ())}

    def status(self, name: str) -> str:
        """Return a stack's status."""
        return self.stacks.status(name)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(data=tmp_path_factory.mktemp("emulator")) as process:
        yield process


@pytest.fixture
def account(emulator: EmulatorProcess) -> Account:
    """Return an account that is empty but for the bootstrap."""
    urllib.request.urlopen(f"{emulator.url}/_ministack/reset", data=b"").close()
    records = emulator.data / "records"
    shutil.rmtree(records, ignore_errors=True)
    stacks = Stacks(emulator.port)
    bucket = resource("AWS::S3::Bucket", BucketName=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    repository = resource("AWS::ECR::Repository", RepositoryName=REPOSITORY)
    outputs = {"BucketName": ref("Bucket"), "ImageRepositoryName": ref("Repository")}
    stacks.deploy("CDKToolkit", {"Bucket": bucket, "Repository": repository}, outputs)
    account = Account(session=client.session(emulator.port), stacks=stacks, records=records)
    account.remember()
    return account
