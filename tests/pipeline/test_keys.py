"""Every key policy allows what the users of the key require: it decides first, whatever IAM allows.

If a key policy does not allow an action to an account, the action fails for everybody in it.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]  # cfn-lint ships no types

from pipeline.bootstrap import policies
from tests.pipeline.model import Synthesized, Template, resolve

_EXECUTION = [
    action
    for path in policies.FOLDER.glob("execution-policy-*.json")
    for statement in json.loads(path.read_text())["Statement"]
    for action in statement["Action"]
]
#: What CloudFormation or a service does on behalf of a caller, besides the actions in the type's schema: property that
#: holds the key to the service through which it is used, the actions, and their source.
THROUGH: Mapping[tuple[str, str], tuple[str, tuple[str, ...], str]] = {
    ("AWS::Lambda::Function", "KmsKeyArn"): (
        "lambda",
        ("kms:CreateGrant", "kms:Encrypt", "kms:Decrypt"),
        "https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html",
    ),
    ("AWS::RDS::DBCluster", "KmsKeyId"): (
        "rds",
        ("kms:CreateGrant", "kms:DescribeKey"),
        "https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Overview.Encryption.Keys.html",
    ),
    ("AWS::RDS::DBInstance", "PerformanceInsightsKMSKeyId"): (
        "rds",
        ("kms:CreateGrant", "kms:DescribeKey", "kms:Decrypt", "kms:GenerateDataKey"),
        "https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_PerfInsights.access-control.cmk-policy.html",
    ),
    ("AWS::SecretsManager::Secret", "KmsKeyId"): (
        "secretsmanager",
        ("kms:Decrypt", "kms:GenerateDataKey"),
        "https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html",
    ),
    ("AWS::SNS::Topic", "KmsMasterKeyId"): (
        "sns",
        ("kms:Decrypt", "kms:GenerateDataKey"),
        "https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html",
    ),
}
#: Types that use a key only through our own roles, whose policies are compared with the key's below.
BY_ROLES = {
    "AWS::CodeBuild::Project",
    "AWS::CodePipeline::Pipeline",
    "AWS::IAM::ManagedPolicy",
    "AWS::S3::Bucket",
}
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
LOGS = ("kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey")
#: Actions on the account rather than on a key, which key policies do not affect.
ACCOUNT_ACTIONS = {"kms:CreateKey", "kms:ListAliases", "kms:ListKeys"}
#: What an account needs to stay in control of a key: restore its policy, and delete it.
#: https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
CONTROL = (
    "kms:PutKeyPolicy",
    "kms:GetKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:CancelKeyDeletion",
    "kms:RevokeGrant",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Key:
    """A key and its policy."""

    where: str
    account: str
    region: str
    statements: tuple[Mapping[str, Any], ...]

    def allows(self, principal: str, action: str, context: Mapping[str, str]) -> bool:
        """Whether a statement allows `action`; `principal` is a service, an account's root or a role."""
        return any(
            statement["Effect"] == "Allow"
            and principal in _values(statement["Principal"])
            and any(fnmatchcase(action, pattern) for pattern in _list(statement["Action"]))
            and all(
                context.get(name, "") in _list(wanted)
                for operator in statement.get("Condition", {}).values()
                for name, wanted in operator.items()
            )
            for statement in self.statements
        )

    @property
    def root(self) -> str:
        return f"arn:aws:iam::{self.account}:root"

    def via(self, service: str) -> dict[str, str]:
        """The context of a request that a service makes on behalf of its caller."""
        return {"kms:ViaService": f"{service}.{self.region}.amazonaws.com", "kms:GrantIsForAWSResource": "true"}


@dataclass(frozen=True, kw_only=True)
class Use:
    """A property that holds a key."""

    where: str
    type: str
    property: str
    properties: Mapping[str, Any] = field(repr=False)
    key: Key


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _values(principal: Any) -> list[str]:
    return [one for values in principal.values() for one in _list(values)] if isinstance(principal, dict) else []


def keys_of(templates: Mapping[str, Template]) -> dict[tuple[str, str], Key]:
    """Every key, by template and logical id."""
    found = {}
    for name, template in templates.items():
        for logical_id, resource in template.all("AWS::KMS::Key").items():
            statements = tuple(resolve(resource["Properties"]["KeyPolicy"])["Statement"])
            (root,) = {one for each in statements for one in _values(each["Principal"])
                       if one.endswith(":root")}  # fmt: skip
            service = next(one for each in statements for one in _values(each["Principal"]) if one.startswith("logs."))
            found[name, logical_id] = Key(
                where=f"{name}/{logical_id}",
                account=root.split(":")[4],
                region=service.split(".")[1],
                statements=statements,
            )
    return found


Exports = Mapping[str, tuple[str, Any]]


def exports_of(templates: Mapping[str, Template]) -> Exports:
    """Template and value of each export, by its name."""
    return {
        output["Export"]["Name"]: (name, output["Value"])
        for name, template in templates.items()
        for output in template.body.get("Outputs", {}).values()
        if "Export" in output
    }


def held(template: str, value: object, exports: Exports) -> Iterator[tuple[str, str]]:
    """Template and logical id of everything that a value refers to, imports followed."""
    if isinstance(value, dict):
        if "Ref" in value:
            yield template, value["Ref"]
        elif "Fn::GetAtt" in value:
            yield template, value["Fn::GetAtt"][0]
        elif value.get("Fn::ImportValue") in exports:
            yield from held(*exports[value["Fn::ImportValue"]], exports)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from held(template, item, exports)


def uses(templates: Mapping[str, Template]) -> Iterator[Use]:
    """Every property of every resource that holds one of the keys."""
    keys, exports = keys_of(templates), exports_of(templates)
    for name, template in templates.items():
        for logical_id, resource in template.body["Resources"].items():
            properties = resource.get("Properties", {}) if resource["Type"] != "AWS::KMS::Key" else {}
            for each, value in properties.items():
                for target in sorted(keys.keys() & set(held(name, value, exports))):
                    yield Use(
                        where=f"{name}/{logical_id}.{each}",
                        type=resource["Type"],
                        property=each,
                        properties=properties,
                        key=keys[target],
                    )


def test_every_use_of_a_key_is_known(widest: Synthesized) -> None:
    known = BY_ROLES | {kind for kind, _ in THROUGH} | {"AWS::KMS::Alias", "AWS::Logs::LogGroup"}
    found = list(uses(widest.templates))
    assert {one.type for one in found} == known
    assert {(one.type, one.property) for one in found if one.type not in BY_ROLES} == {
        *THROUGH,
        ("AWS::KMS::Alias", "TargetKeyId"),
        ("AWS::Logs::LogGroup", "KmsKeyId"),
    }


def denied(found: Iterable[Use]) -> list[tuple[str, str]]:
    """Actions that a service could not perform with a key for the creator of a resource."""
    return [
        (one.where, action)
        for one in found
        if (one.type, one.property) in THROUGH
        for service, actions, _ in [THROUGH[one.type, one.property]]
        for action in sorted({*actions, *named_by_schema(one.type)})
        if not one.key.allows(one.key.root, action, one.key.via(service)) or action not in _EXECUTION
    ]


def test_services_may_use_the_key_for_whoever_creates_a_resource(widest: Synthesized) -> None:
    """Without `kms:CreateGrant` a function cannot be created, and its stack rolls back."""
    assert denied(uses(widest.templates)) == []


@pytest.mark.parametrize("action", ["kms:CreateGrant", "kms:DescribeKey", "kms:Decrypt", "kms:GenerateDataKey"])
def test_a_missing_key_action_is_detected(widest: Synthesized, action: str) -> None:
    for key in keys_of(widest.templates).values():
        statements = tuple(
            {**one, "Action": [name for name in _list(one["Action"]) if name != action]} for one in key.statements
        )
        cut = dataclasses.replace(key, statements=statements)
        used = [dataclasses.replace(one, key=cut) for one in uses(widest.templates) if one.key.where == key.where]
        by_services = [one for one in used if (one.type, one.property) in THROUGH]
        assert {name for _, name in denied(by_services)} == ({action} if by_services else set()), key.where


def test_cloudwatch_logs_may_use_the_key_of_each_log_group(widest: Synthesized) -> None:
    groups = [one for one in uses(widest.templates) if one.type == "AWS::Logs::LogGroup"]
    for one in groups:
        group = f"arn:aws:logs:{one.key.region}:{one.key.account}:log-group:{one.properties['LogGroupName']}"
        for action in LOGS:
            context = {"kms:EncryptionContext:aws:logs:arn": group}
            assert one.key.allows(f"logs.{one.key.region}.amazonaws.com", action, context), (one.where, action)
    assert len(groups) >= 20


def test_publishing_services_may_use_the_topics_key(widest: Synthesized) -> None:
    """Otherwise alarms are lost silently."""
    keys = {one.where: one.key for one in uses(widest.templates) if one.type == "AWS::SNS::Topic"}
    for name, template in widest.templates.items():
        for policy in template.all("AWS::SNS::TopicPolicy").values():
            services = [
                (statement["Principal"]["Service"], statement["Condition"]["StringEquals"])
                for statement in policy["Properties"]["PolicyDocument"]["Statement"]
                if statement["Effect"] == "Allow"
            ]
            for service, condition in services:
                key = keys[f"{name}/{policy['Properties']['Topics'][0]['Ref']}.KmsMasterKeyId"]
                assert key.allows(service, "kms:GenerateDataKey", condition)
                assert key.allows(service, "kms:Decrypt", condition)


def test_the_key_allows_what_roles_are_allowed(widest: Synthesized) -> None:
    compared = 0
    for one in uses(widest.templates):
        if one.type != "AWS::IAM::ManagedPolicy":
            continue
        for statement in one.properties["PolicyDocument"]["Statement"]:
            names = [name for name in _list(statement["Action"]) if name.startswith("kms:")]
            services = statement.get("Condition", {}).get("StringEquals", {}).get("kms:ViaService", "")
            for action in names:
                compared += 1
                context = {"kms:ViaService": _list(services)[0]}
                assert one.key.allows(one.key.root, action, context), (one.where, action)
    assert compared >= 40


def test_the_account_never_loses_control_of_a_key(widest: Synthesized) -> None:
    keys = keys_of(widest.templates).values()
    assert len(keys) == 4, "two environments, the pipeline and its replica"
    needed = (named_by_schema("AWS::KMS::Key") | named_by_schema("AWS::KMS::Alias")) - ACCOUNT_ACTIONS
    for key in keys:
        missing = {action for action in {*needed, *CONTROL} if not key.allows(key.root, action, {})}
        assert missing == set(), key.where
    assert needed <= set(_EXECUTION)


def test_only_services_can_create_grants(widest: Synthesized) -> None:
    """A grant is a permission that no policy shows; only services that require grants may create one."""
    for key in keys_of(widest.templates).values():
        assert not key.allows(key.root, "kms:CreateGrant", {}), key.where


def named_by_schema(kind: str) -> set[str]:
    """KMS actions in CloudFormation's handlers of a type."""
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema.get("handlers", {})
    return {
        action
        for operation in ("create", "read", "update", "delete")
        for action in handlers.get(operation, {}).get("permissions", ())
        if action.startswith("kms:")
    }
