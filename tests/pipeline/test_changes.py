"""The change report: which resources, permissions and network rules a deployment would change."""

from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.jobs.changes.exposure import added_network_rules, broadened_permissions
from pipeline.jobs.changes.report import SUMMARY_CHARACTERS, ChangeReport, StackReport
from pipeline.jobs.changes.resources import ChangeKind

CREATE_ONLY: Mapping[str, Mapping[str, list[str]]] = {
    "AWS::RDS::DBCluster": {
        "createOnly": ["/properties/DBClusterIdentifier", "/properties/DBSubnetGroupName", "/properties/KmsKeyId"],
        "conditional": ["/properties/MasterUsername"],
    },
    "AWS::RDS::DBSubnetGroup": {"createOnly": ["/properties/DBSubnetGroupName"]},
    "AWS::EC2::Subnet": {"createOnly": ["/properties/Tags/*/Key", "/properties/Options/Kind"]},
    "AWS::KMS::Key": {"createOnly": []},
}


def template(**resources: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"Resources": {name: {"Type": kind, "Properties": values} for name, (kind, values) in resources.items()}}


def compare(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> StackReport:
    return StackReport.compare("payment-database-prod", before, after, CREATE_ONLY)


def kinds(report: StackReport) -> dict[str, ChangeKind]:
    return {change.logical_id: change.kind for change in report.changes}


CLUSTER = ("AWS::RDS::DBCluster", {"DBClusterIdentifier": "aurora-cluster-prod", "BackupRetentionPeriod": 7})


def test_the_same_template_changes_nothing() -> None:
    report = compare(template(Cluster=CLUSTER), template(Cluster=CLUSTER))
    assert report.changes == []
    assert report.lines() == ["payment-database-prod: no change"]


def test_resources_are_added_changed_and_removed() -> None:
    before = template(Cluster=CLUSTER, Old=("AWS::SNS::Topic", {}))
    after = template(Cluster=(CLUSTER[0], {**CLUSTER[1], "BackupRetentionPeriod": 14}), New=("AWS::SNS::Topic", {}))
    report = compare(before, after)
    assert kinds(report) == {"New": ChangeKind.ADDED, "Cluster": ChangeKind.CHANGED, "Old": ChangeKind.REMOVED}
    assert "changed  AWS::RDS::DBCluster payment-database-prod/Cluster (BackupRetentionPeriod)" in report.lines()[2]


def test_a_create_only_property_replaces() -> None:
    report = compare(template(Cluster=CLUSTER), template(Cluster=(CLUSTER[0], {"DBClusterIdentifier": "other"})))
    (change,) = report.changes
    assert (change.kind, change.properties, change.loses_state) == (ChangeKind.REPLACED, ("DBClusterIdentifier",), True)


def test_a_conditionally_create_only_property_replaces_perhaps() -> None:
    after = template(Cluster=(CLUSTER[0], {**CLUSTER[1], "MasterUsername": "other"}))
    (change,) = compare(template(Cluster=CLUSTER), after).changes
    assert (change.kind, change.properties) == (ChangeKind.REPLACED, ("MasterUsername, perhaps",))


@pytest.mark.parametrize(
    "reference",
    [{"Ref": "Group"}, {"Fn::GetAtt": ["Group", "Name"]}, {"Fn::GetAtt": "Group.Name"}],
    ids=["Ref", "GetAtt list", "GetAtt text"],
)
def test_a_reference_to_a_replaced_resource_replaces(reference: Mapping[str, Any]) -> None:
    cluster = (CLUSTER[0], {"DBSubnetGroupName": reference})
    before = template(Group=("AWS::RDS::DBSubnetGroup", {"DBSubnetGroupName": "one"}), Cluster=cluster)
    after = template(Group=("AWS::RDS::DBSubnetGroup", {"DBSubnetGroupName": "two"}), Cluster=cluster)
    assert kinds(compare(before, after)) == {"Group": ChangeKind.REPLACED, "Cluster": ChangeKind.REPLACED}


def test_another_type_under_the_same_logical_id_replaces() -> None:
    before, after = template(Store=("AWS::S3::Bucket", {})), template(Store=("AWS::SNS::Topic", {}))
    (change,) = compare(before, after).changes
    assert (change.kind, change.properties, change.stateful) == (ChangeKind.REPLACED, ("Type",), True)


def test_pointers_into_objects_and_arrays_are_followed() -> None:
    def subnet(**properties: object) -> dict[str, Any]:
        return template(Subnet=("AWS::EC2::Subnet", properties))

    same = subnet(Options={"Kind": "a", "Free": 1}, Tags=[{"Key": "x"}])
    assert kinds(compare(same, subnet(Options={"Kind": "a", "Free": 2}, Tags=[{"Key": "x"}]))) == {
        "Subnet": ChangeKind.CHANGED
    }
    assert kinds(compare(same, subnet(Options={"Kind": "b", "Free": 1}, Tags=[{"Key": "x"}]))) == {
        "Subnet": ChangeKind.REPLACED
    }
    assert kinds(compare(same, subnet(Options={"Kind": "a", "Free": 1}, Tags=[{"Key": "y"}]))) == {
        "Subnet": ChangeKind.REPLACED
    }
    intrinsic = subnet(Options={"Fn::If": ["c", {}, {}]})
    assert kinds(compare(intrinsic, subnet(Options={"Fn::If": ["d", {}, {}]}))) == {"Subnet": ChangeKind.REPLACED}


def test_a_deletion_policy_is_a_change() -> None:
    before, after = template(Cluster=CLUSTER), template(Cluster=CLUSTER)
    before["Resources"]["Cluster"]["DeletionPolicy"] = "Snapshot"
    after["Resources"]["Cluster"]["DeletionPolicy"] = "Delete"
    (change,) = compare(before, after).changes
    assert change.properties == ("DeletionPolicy",)


def test_metadata_is_no_change() -> None:
    before, after = template(Cluster=CLUSTER), template(Cluster=CLUSTER, CDKMetadata=("AWS::CDK::Metadata", {}))
    after["Resources"]["Cluster"]["Metadata"] = {"aws:cdk:path": "elsewhere"}
    assert compare(before, after).changes == []


@pytest.mark.parametrize(
    ("kind", "properties", "stateful"),
    [
        ("AWS::KMS::Key", {}, True),
        ("AWS::S3::Bucket", {}, True),
        ("AWS::SecretsManager::Secret", {}, True),
        ("AWS::RDS::DBInstance", {"Engine": "postgres"}, True),
        ("AWS::RDS::DBInstance", {"Engine": "aurora-postgresql"}, False),
        ("AWS::RDS::DBInstance", {"Engine": {"Ref": "Engine"}}, True),
        ("AWS::ECS::Service", {}, False),
    ],
    ids=["key", "bucket", "secret", "postgres", "aurora", "unknown engine", "service"],
)
def test_stateful_types(kind: str, properties: dict[str, Any], stateful: bool) -> None:
    (change,) = compare(template(One=(kind, properties)), template()).changes
    assert change.loses_state is stateful


def role(*statements: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    policies = [{"PolicyName": "inline", "PolicyDocument": {"Statement": list(statements)}}]
    return template(Role=("AWS::IAM::Role", {"Policies": policies, **others}))


READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": {"Fn::GetAtt": ["Bucket", "Arn"]}}


@pytest.mark.parametrize(
    ("before", "after", "permission"),
    [
        ([], [READ], "allow s3:GetObject on ${Bucket.Arn}"),
        ([READ], [{**READ, "Action": ["s3:GetObject", "s3:PutObject"]}], "allow s3:PutObject on ${Bucket.Arn}"),
        ([READ], [{**READ, "Resource": "*"}], "allow s3:GetObject on *"),
        ([{**READ, "Condition": {"Bool": {"a": "b"}}}], [READ], "allow s3:GetObject on ${Bucket.Arn}"),
        ([{**READ, "Effect": "Deny"}], [], "no longer deny s3:GetObject on ${Bucket.Arn}"),
        (
            [],
            [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}],
            'allow {"NotAction": "iam:*", "Resource": "*"}',
        ),
        (
            [],
            [{**READ, "Resource": {"Fn::Join": ["", [{"Ref": "Bucket"}, "/*"]]}}],
            "allow s3:GetObject on ${Bucket}/*",
        ),
    ],
    ids=["statement", "action", "resource", "condition removed", "Deny removed", "NotAction", "Fn::Join"],
)
def test_a_broadened_permission_is_reported(before: list[Any], after: list[Any], permission: str) -> None:
    assert broadened_permissions(role(*before), role(*after)) == [f"Role: {permission}"]


def test_an_equal_or_narrower_permission_is_not_reported() -> None:
    assert broadened_permissions(role(READ), role({**READ, "Condition": {"Bool": {"a": "b"}}})) == []
    assert broadened_permissions(role(READ), role()) == []
    assert broadened_permissions(role(), role({**READ, "Effect": "Deny"})) == []
    two = {**READ, "Action": ["s3:GetObject", "s3:PutObject"]}
    assert broadened_permissions(role(two), role({**READ, "Sid": "Split"}, {**READ, "Action": "s3:PutObject"})) == []


def test_other_grants_are_reported() -> None:
    trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "111111111111"}}]}
    managed = role(AssumeRolePolicyDocument=trust, ManagedPolicyArns=["arn:aws:iam::aws:policy/AdministratorAccess"])
    assert broadened_permissions(role(), managed) == [
        "Role: allow sts:AssumeRole on this resource to 111111111111",
        "Role: allow what arn:aws:iam::aws:policy/AdministratorAccess allows",
    ]
    invoke = {"Action": "lambda:InvokeFunction", "FunctionName": {"Ref": "F"}, "Principal": "*"}
    assert broadened_permissions(template(), template(P=("AWS::Lambda::Permission", invoke))) == [
        "P: allow lambda:InvokeFunction on ${F} to *"
    ]
    reference = template(Role=("AWS::IAM::Role", {"Policies": [{"Fn::If": ["c", {}, {}]}]}))
    assert broadened_permissions(template(), reference) == []


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("AWS::EC2::VPCEndpoint", "PolicyDocument"),
        ("AWS::ECR::Repository", "RepositoryPolicyText"),
        ("AWS::IAM::ManagedPolicy", "PolicyDocument"),
        ("AWS::KMS::Key", "KeyPolicy"),
        ("AWS::S3::BucketPolicy", "PolicyDocument"),
        ("AWS::SNS::TopicPolicy", "PolicyDocument"),
        ("AWS::SQS::QueuePolicy", "PolicyDocument"),
        ("AWS::SecretsManager::ResourcePolicy", "ResourcePolicy"),
    ],
    ids=["endpoint", "repository", "managed", "key", "bucket", "topic", "queue", "secret"],
)
def test_every_policy_type_is_compared(kind: str, document: str) -> None:
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}
    public = template(Policy=(kind, {document: {"Statement": statement}}))
    assert broadened_permissions(template(), public) == ["Policy: allow * on * to *"]


def test_an_added_network_rule_is_reported() -> None:
    rule = {"GroupId": {"Ref": "Group"}, "CidrIp": "0.0.0.0/0", "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    inline = {
        "SecurityGroupIngress": [{"CidrIpv6": "::/0", "IpProtocol": "tcp", "FromPort": 1, "ToPort": 9}],
        "SecurityGroupEgress": [{"IpProtocol": "-1"}],
    }
    after = template(
        In=("AWS::EC2::SecurityGroupIngress", rule),
        Out=("AWS::EC2::SecurityGroupEgress", {"DestinationSecurityGroupId": {"Ref": "Other"}, "IpProtocol": "udp"}),
        Group=("AWS::EC2::SecurityGroup", inline),
        Alb=("AWS::ElasticLoadBalancingV2::LoadBalancer", {"Scheme": "internet-facing"}),
        Db=("AWS::RDS::DBInstance", {"PubliclyAccessible": True}),
        Private=("AWS::RDS::DBInstance", {"PubliclyAccessible": False}),
    )
    assert added_network_rules(template(), after) == [
        "Alb: load balancer, internet-facing",
        "Db: publicly accessible database",
        "Group: egress to anywhere on any protocol any",
        "Group: ingress from ::/0 on tcp 1-9",
        "In: ingress of ${Group} from 0.0.0.0/0 on tcp 22",
        "Out: egress to ${Other} on udp any",
    ]
    assert added_network_rules(after, after) == []


def report_of(*stacks: StackReport, permitted: frozenset[str] = frozenset()) -> ChangeReport:
    return ChangeReport(environment="prod", stacks=stacks, permitted=permitted)


def test_a_loss_must_be_permitted_by_name() -> None:
    loss = compare(template(Cluster=CLUSTER), template())
    assert [change.name for change in report_of(loss).unpermitted] == ["payment-database-prod/Cluster"]
    assert "NOT permitted" in report_of(loss).text()
    permitted = report_of(loss, permitted=frozenset({"payment-database-prod/Cluster"}))
    assert permitted.unpermitted == []
    assert "permitted by the commit" in permitted.text()
    assert permitted.summary().startswith("prod: 1 removed. LOSES DATA: payment-database-prod/Cluster")


def test_the_summary_starts_with_the_most_important_and_fits() -> None:
    before = template(Group=("AWS::RDS::DBSubnetGroup", {"DBSubnetGroupName": "one"}))
    after = {
        "Resources": {
            **template(Group=("AWS::RDS::DBSubnetGroup", {"DBSubnetGroupName": "two"}))["Resources"],
            **role(READ)["Resources"],
        }
    }
    new = StackReport.compare("payment-service-prod", None, template(One=("AWS::SNS::Topic", {})), CREATE_ONLY)
    assert new.lines() == ["payment-service-prod: new, 1 resources"]
    summary = report_of(compare(before, after), new).summary()
    assert summary == (
        "prod: 1 added, 1 replaced. replaced: payment-database-prod/Group. "
        "permissions broadened (1): Role: allow s3:GetObject on ${Bucket.Arn}. new stacks: payment-service-prod"
    )
    assert "network" not in summary
    assert report_of(new).summary() == "prod: new stacks: payment-service-prod"
    assert report_of(compare(before, before)).summary() == "prod: no change"
    many = template(**{f"Role{n}": ("AWS::EC2::SecurityGroupIngress", {"CidrIp": f"10.0.0.{n}/32"}) for n in range(99)})
    long = report_of(compare(template(), many)).summary()
    assert "network opened (99)" in long
    assert len(long) <= SUMMARY_CHARACTERS
    assert long.endswith("(see the report)")


def test_the_report_lists_permissions_and_network_rules() -> None:
    after = {
        "Resources": {
            **role(READ)["Resources"],
            **template(In=("AWS::EC2::SecurityGroupIngress", {"CidrIp": "10.0.0.0/8"}))["Resources"],
        }
    }
    text = report_of(compare(template(), after)).text()
    assert "  permission  Role: allow s3:GetObject on ${Bucket.Arn}" in text
    assert "  network     In: ingress from 10.0.0.0/8" in text
