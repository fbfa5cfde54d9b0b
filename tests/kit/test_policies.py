"""A permission on every resource is rejected until it is explained."""

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam

from kit.policies import grant


def test_an_unexplained_wildcard_is_rejected() -> None:
    role = iam.Role(Stack(App(), "Stack"), "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    statement = iam.PolicyStatement(actions=["ecr:GetAuthorizationToken", "s3:GetObject"], resources=["*"])
    with pytest.raises(ValueError, match=r'policy-x: s3:GetObject on "\*". Name the resource'):
        grant(role, name="policy-x", statements=[statement])
