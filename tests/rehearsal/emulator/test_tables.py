"""The tables of permissions name existing types, properties and actions: a typo would authorize nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from rehearsal.emulator.authorization import handler_permissions, key_usage, passed_roles, resource_arns, service_calls
from rehearsal.emulator.authorization.handler_permissions import needed_actions
from rehearsal.emulator.core.properties import arns_in, values_at
from rehearsal.emulator.core.resource_schemas import schema_of

PATHS = [
    *((kind, name) for kind, (name, _) in resource_arns._FORMATS.items()),
    *((kind, path) for kind, rows in resource_arns._RELATED.items() for path, _ in rows),
    *((kind, row.path) for kind, rows in passed_roles._ROLES.items() for row in rows),
    *((kind, use.path) for kind, uses in key_usage._USES.items() for use in uses),
]


def test_every_path_is_a_property() -> None:
    assert len(PATHS) > 50
    assert [(kind, path) for kind, path in PATHS if not _is_property(kind, path)] == []


def test_every_type_exists() -> None:
    kinds = {*service_calls._LATER, *passed_roles._LINKED}
    assert [kind for kind in kinds if not schema_of(kind)] == []


def test_every_action_exists() -> None:
    named = {*handler_permissions._CONDITIONS, *_missing()}
    named |= {action for uses in key_usage._USES.values() for use in uses for action in (*use.caller, *use.service)}
    assert [action for action in named if not resource_arns.is_action(action)] == []


def test_every_use_of_a_key_has_a_source() -> None:
    for uses in key_usage._USES.values():
        assert all(use.source.startswith("https://docs.aws.amazon.com/") for use in uses)


def test_actions_of_a_schema_may_have_conditions() -> None:
    plain = needed_actions("AWS::IAM::Role", "create", {})
    assert {"iam:CreateRole", "iam:TagRole", "iam:GetRole"} <= set(plain)
    assert "iam:PutRolePolicy" not in plain
    assert "iam:PutRolePolicy" in needed_actions("AWS::IAM::Role", "create", {"Policies": [{"PolicyName": "one"}]})
    assert "s3:REST.PUT.OBJECT" not in needed_actions("AWS::Logs::LogGroup", "create", {})


def test_actions_of_other_services_need_a_reference() -> None:
    kind = "AWS::WAFv2::WebACLAssociation"
    balancer = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/one/1"
    needed = needed_actions(kind, "create", {"ResourceArn": balancer})
    assert "elasticloadbalancing:SetWebACL" in needed
    assert not [action for action in needed if action.startswith(("apprunner:", "cognito-idp:", "amplify:"))]


@pytest.mark.parametrize("prefix", ["codeconnections", "codestar-connections"])
def test_connections_have_two_prefixes(prefix: str) -> None:
    arn = f"arn:aws:{prefix}:us-east-1:000000000000:connection/one"
    stages = [{"Name": "Source", "Actions": [{"Name": "Source", "Configuration": {"ConnectionArn": arn}}]}]
    needed = needed_actions("AWS::CodePipeline::Pipeline", "create", {"Stages": stages})
    assert "codestar-connections:PassConnection" in needed


def test_arns_in_policy_documents_do_not_count() -> None:
    role = "arn:aws:iam::000000000000:role/one"
    properties = {
        "Role": role,
        "KeyPolicy": {"Statement": [{"Principal": {"AWS": "arn:aws:iam::000000000000:role/two"}}]},
    }
    assert arns_in(properties) == [role]


def test_a_path_may_pass_through_lists() -> None:
    assert list(values_at({"A": [{"B": "one"}, {"B": "two"}, {"C": "three"}]}, "A.*.B")) == ["one", "two"]


def _is_property(kind: str, path: str) -> bool:
    schema = schema_of(kind)
    found: Mapping[str, Any] = schema
    for name in path.split("."):
        found = _resolved(found, schema)
        found = found.get("items", {}) if name == "*" else found.get("properties", {}).get(name, {})
    return bool(found)


def _missing() -> Iterator[str]:
    for table in (handler_permissions._MISSING_SCHEMAS, handler_permissions._UNNAMED):
        for operations in table.values():
            for actions in operations.values():
                yield from actions


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rsplit("/", 1)[-1]]
    return schema
