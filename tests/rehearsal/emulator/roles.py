"""Roles of an emulated account, and sessions of them."""

import json
from dataclasses import dataclass, field
from typing import Any

import boto3.session

from rehearsal.account import sessions
from rehearsal.account.authorization_client import AuthorizationClient
from rehearsal.account.sessions import ACCOUNT_ID, Credentials

ROOT = f"arn:aws:iam::{ACCOUNT_ID}:root"
BUILD = "codebuild.amazonaws.com"


def statement(action: str | list[str], resource: str = "*", **more: object) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@dataclass(kw_only=True)
class Account:
    """An emulated account; `roles` are the names of the roles that were created."""

    port: int
    roles: list[str] = field(default_factory=list)

    @property
    def session(self) -> boto3.session.Session:
        return sessions.open_session(self.port)

    @property
    def authorization(self) -> AuthorizationClient:
        return AuthorizationClient(port=self.port)

    def create_role(self, name: str, *statements: dict[str, Any]) -> str:
        iam = self.session.client("iam")
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": BUILD}}
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
        self.roles.append(name)
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=document(*statements))
        return arn

    def session_of(self, role: str) -> boto3.session.Session:
        return sessions.open_session(self.port, credentials=self.credentials(role))

    def credentials(self, role: str) -> Credentials:
        return self.authorization.assume(role, service=BUILD, session="test")

    def entries(self, action: str) -> list[tuple[str, bool]]:
        found = self.authorization.decisions().entries
        return [(entry["principal"], entry["allowed"]) for entry in found if entry["action"] == action]
