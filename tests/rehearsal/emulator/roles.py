"""Roles of the emulated account, and calls that are made as them."""

import json
from dataclasses import dataclass, field
from typing import Any

import boto3.session

from rehearsal.account import sessions
from rehearsal.account.authorization_client import Principals
from rehearsal.account.sessions import ACCOUNT_ID, Credentials

ROOT = f"arn:aws:iam::{ACCOUNT_ID}:root"
BUILD = "codebuild.amazonaws.com"


def statement(action: str | list[str], resource: str = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@dataclass(kw_only=True)
class Account:
    """The emulated account, with roles that are gone after the test."""

    port: int
    made: list[str] = field(default_factory=list)

    @property
    def session(self) -> boto3.session.Session:
        return sessions.open_session(self.port)

    @property
    def principals(self) -> Principals:
        return Principals(port=self.port)

    def role(self, name: str, *statements: dict[str, Any], trust: dict[str, Any] | None = None) -> str:
        iam = self.session.client("iam")
        trusted = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": trust or {"Service": BUILD}}
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trusted))["Role"]["Arn"]
        self.made.append(name)
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=document(*statements))
        return arn

    def act_as(self, role: str) -> boto3.session.Session:
        return sessions.open_session(self.port, credentials=self.credentials(role))

    def credentials(self, role: str) -> Credentials:
        return self.principals.assume(role, service=BUILD, session="test")

    def entries(self, action: str) -> list[tuple[str, bool]]:
        found = self.principals.decisions().entries
        return [(entry["principal"], entry["allowed"]) for entry in found if entry["action"] == action]
