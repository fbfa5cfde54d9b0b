"""A role for CloudFormation stacks, with policies that a test chooses."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rehearsal.account import sessions
from rehearsal.emulator.process import EmulatorProcess

ROLE = f"arn:aws:iam::{sessions.ACCOUNT_ID}:role/deployer"
ADMINISTRATOR = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def trust(*services: str) -> dict[str, Any]:
    """Return a trust policy for services."""
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": list(services)}}
    return {"Version": "2012-10-17", "Statement": [statement]}


def allow(*actions: str, resource: str = "*") -> dict[str, Any]:
    """Return an allowing statement."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


def deny(*actions: str) -> dict[str, Any]:
    """Return a policy that allows everything but some actions."""
    statement = {"Effect": "Deny", "Action": list(actions), "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [allow("*"), statement]}


@contextmanager
def deployer_policies(emulator: EmulatorProcess, *documents: Mapping[str, Any]) -> Iterator[None]:
    """Give the role these policies; afterwards it is an administrator again, so that stacks can be deleted."""
    iam = sessions.open_session(emulator.port).client("iam")
    _put(iam, documents)
    try:
        yield
    finally:
        _put(iam, [ADMINISTRATOR])


def create_deployer(emulator: EmulatorProcess) -> None:
    """Create the role."""
    iam = sessions.open_session(emulator.port).client("iam")
    iam.create_role(RoleName="deployer", AssumeRolePolicyDocument=json.dumps(trust("cloudformation.amazonaws.com")))
    _put(iam, [ADMINISTRATOR])


def _put(iam: Any, documents: Sequence[Mapping[str, Any]]) -> None:
    for name in iam.list_role_policies(RoleName="deployer")["PolicyNames"]:
        iam.delete_role_policy(RoleName="deployer", PolicyName=name)
    for number, document in enumerate(documents):
        iam.put_role_policy(RoleName="deployer", PolicyName=f"p{number}", PolicyDocument=json.dumps(document))
