"""Resources of types that the emulator lacks exist after a deployment, and are gone after a deletion."""

import json
from pathlib import Path
from typing import Any

import boto3.session
import pytest

from rehearsal.account import sessions
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.stacks import StackFailedError, Stacks, get, ref, resource

pytestmark = pytest.mark.rehearsal

NETWORK: dict[str, Any] = {
    "Vpc": resource("AWS::EC2::VPC", CidrBlock="10.0.0.0/16"),
    "Subnet": resource("AWS::EC2::Subnet", VpcId=ref("Vpc"), CidrBlock="10.0.0.0/24"),
}
GROUPS: dict[str, Any] = {
    **NETWORK,
    "Api": resource("AWS::EC2::SecurityGroup", VpcId=ref("Vpc"), GroupDescription="api"),
    "Alb": resource("AWS::EC2::SecurityGroup", VpcId=ref("Vpc"), GroupDescription="alb", SecurityGroupEgress=[]),
}


@pytest.fixture
def stacks(emulator: EmulatorProcess) -> Stacks:
    return Stacks(emulator.port)


@pytest.fixture
def session(emulator: EmulatorProcess) -> boto3.session.Session:
    return sessions.open_session(emulator.port)


def record(emulator: EmulatorProcess, kind: str, name: str) -> Path:
    return emulator.data / "records" / kind / f"{name}.json"


def test_a_nat_gateway_has_its_address(stacks: Stacks, session: boto3.session.Session) -> None:
    ec2 = session.client("ec2")
    nat = resource("AWS::EC2::NatGateway", SubnetId=ref("Subnet"), AllocationId=get("Eip", "AllocationId"))
    resources = {**NETWORK, "Eip": resource("AWS::EC2::EIP", Domain="vpc"), "Nat": nat}

    outputs = stacks.deploy("nat", resources, {"Ip": ref("Eip"), "Nat": ref("Nat")})

    assert outputs["Ip"] in [address["PublicIp"] for address in ec2.describe_addresses()["Addresses"]]
    assert ec2.describe_nat_gateways(NatGatewayIds=[outputs["Nat"]])["NatGateways"][0]["State"] == "available"
    stacks.delete("nat")
    assert outputs["Ip"] not in [address["PublicIp"] for address in ec2.describe_addresses()["Addresses"]]
    assert ec2.describe_nat_gateways(NatGatewayIds=[outputs["Nat"]])["NatGateways"][0]["State"] == "deleted"


def test_a_security_group_rule_changes_its_group(stacks: Stacks, session: boto3.session.Session) -> None:
    ec2 = session.client("ec2")
    rule = {"IpProtocol": "tcp", "FromPort": 8443, "ToPort": 8443}
    ingress = resource("AWS::EC2::SecurityGroupIngress", GroupId=ref("Api"), SourceSecurityGroupId=ref("Alb"), **rule)
    egress = resource(
        "AWS::EC2::SecurityGroupEgress", GroupId=ref("Alb"), DestinationSecurityGroupId=ref("Api"), **rule
    )
    declared = {"Api": get("Api", "GroupId"), "Alb": get("Alb", "GroupId")}

    outputs = stacks.deploy("rules", {**GROUPS, "In": ingress, "Out": egress}, declared)

    def permissions() -> tuple[list[Any], list[Any]]:
        groups = ec2.describe_security_groups(GroupIds=[outputs["Api"], outputs["Alb"]])["SecurityGroups"]
        by_id = {group["GroupId"]: group for group in groups}
        into_api, out_of_alb = by_id[outputs["Api"]]["IpPermissions"], by_id[outputs["Alb"]]["IpPermissionsEgress"]
        return into_api, [each for each in out_of_alb if each["UserIdGroupPairs"]]

    into_api, out_of_alb = permissions()
    assert [(p["FromPort"], p["UserIdGroupPairs"][0]["GroupId"]) for p in into_api] == [(8443, outputs["Alb"])]
    assert [(p["FromPort"], p["UserIdGroupPairs"][0]["GroupId"]) for p in out_of_alb] == [(8443, outputs["Api"])]
    stacks.deploy("rules", GROUPS, declared)
    assert permissions() == ([], [])
    stacks.delete("rules")


def test_a_duplicate_rule_is_refused(stacks: Stacks) -> None:
    rule = resource(
        "AWS::EC2::SecurityGroupIngress",
        GroupId=ref("Api"),
        CidrIp="10.0.0.0/8",
        IpProtocol="tcp",
        FromPort=1,
        ToPort=1,
    )

    with pytest.raises(StackFailedError, match="already exists in security group sg-"):
        stacks.deploy("twice", {**GROUPS, "One": rule, "Two": {**rule, "DependsOn": "One"}})

    assert stacks.status("twice") == "ROLLBACK_COMPLETE"
    stacks.delete("twice")


def test_a_secret_is_generated_by_its_rules(stacks: Stacks, session: boto3.session.Session) -> None:
    rules = {
        "SecretStringTemplate": json.dumps({"id": "smokedev"}),
        "GenerateStringKey": "secret",
        "PasswordLength": "48",
        "ExcludePunctuation": True,
    }
    resources = {"Key": resource("AWS::SecretsManager::Secret", Name="smoke-key", GenerateSecretString=rules)}

    arn = stacks.deploy("secret", resources, {"Arn": ref("Key")})["Arn"]

    manager = session.client("secretsmanager")
    value = json.loads(manager.get_secret_value(SecretId=arn)["SecretString"])
    assert arn.startswith("arn:aws:secretsmanager:us-east-1:000000000000:secret:smoke-key-")
    assert value["id"] == "smokedev"
    assert len(value["secret"]) == 48
    assert value["secret"].isalnum()

    described = {"Key": resource("AWS::SecretsManager::Secret", **resources["Key"]["Properties"], Description="new")}
    assert stacks.deploy("secret", described, {"Arn": ref("Key")})["Arn"] == arn
    assert json.loads(manager.get_secret_value(SecretId=arn)["SecretString"]) == value, "an update rotated the secret"

    shorter = {**rules, "PasswordLength": 20}
    stacks.deploy(
        "secret", {"Key": resource("AWS::SecretsManager::Secret", Name="smoke-key", GenerateSecretString=shorter)}
    )
    assert len(json.loads(manager.get_secret_value(SecretId=arn)["SecretString"])["secret"]) == 20

    stacks.delete("secret")
    assert not manager.list_secrets()["SecretList"]


def test_a_task_definition_has_all_of_its_properties(stacks: Stacks, session: boto3.session.Session) -> None:
    containers = [
        {
            "Name": "migrate",
            "Image": "image",
            "Essential": False,
            "Secrets": [{"Name": "PGUSER", "ValueFrom": "arn:s:username::"}],
        },
        {
            "Name": "api",
            "Image": "image",
            "DependsOn": [{"ContainerName": "migrate", "Condition": "COMPLETE"}],
            "HealthCheck": {"Command": ["CMD", "true"], "Interval": 5, "StartPeriod": 10},
            "LinuxParameters": {"Tmpfs": [{"ContainerPath": "/tmp", "Size": 64, "MountOptions": ["noexec"]}]},
            "LogConfiguration": {"LogDriver": "awslogs", "Options": {"awslogs-group": "g", "Mode": "non-blocking"}},
            "PortMappings": [{"ContainerPort": "8443"}],
            "ReadonlyRootFilesystem": "true",
            "Ulimits": [{"Name": "nofile", "SoftLimit": 1024, "HardLimit": 1024}],
        },
    ]
    resources = {
        "Task": resource(
            "AWS::ECS::TaskDefinition", Family="task-api", Cpu="256", Memory="512", ContainerDefinitions=containers
        )
    }

    arn = stacks.deploy("task", resources, {"Arn": ref("Task")})["Arn"]

    ecs = session.client("ecs")
    migrate, api = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]["containerDefinitions"]
    assert migrate["secrets"] == [{"name": "PGUSER", "valueFrom": "arn:s:username::"}]
    assert api["dependsOn"] == [{"containerName": "migrate", "condition": "COMPLETE"}]
    assert api["healthCheck"] == {"command": ["CMD", "true"], "interval": 5, "startPeriod": 10}
    assert api["linuxParameters"]["tmpfs"] == [{"containerPath": "/tmp", "size": 64, "mountOptions": ["noexec"]}]
    assert api["logConfiguration"]["options"] == {"awslogs-group": "g", "Mode": "non-blocking"}
    assert api["portMappings"] == [{"containerPort": 8443}]
    assert api["readonlyRootFilesystem"] is True
    assert api["ulimits"] == [{"name": "nofile", "softLimit": 1024, "hardLimit": 1024}]
    stacks.delete("task")
    assert not ecs.list_task_definitions(familyPrefix="task-api")["taskDefinitionArns"]


def test_a_bucket_with_objects_is_not_deleted(stacks: Stacks, session: boto3.session.Session) -> None:
    name = stacks.deploy("full", {"Bucket": resource("AWS::S3::Bucket")}, {"Name": ref("Bucket")})["Name"]
    session.client("s3").put_object(Bucket=name, Key="late-log", Body=b"")

    with pytest.raises(StackFailedError, match="DELETE_FAILED"):
        stacks.delete("full")

    session.client("s3").delete_object(Bucket=name, Key="late-log")
    stacks.delete("full")


def test_an_auto_delete_bucket_is_deleted_with_its_objects(stacks: Stacks, session: boto3.session.Session) -> None:
    resources = {
        "Bucket": resource("AWS::S3::Bucket", VersioningConfiguration={"Status": "Enabled"}),
        "Empty": resource("Custom::S3AutoDeleteObjects", ServiceToken="unused", BucketName=ref("Bucket")),
    }
    name = stacks.deploy("bucket", resources, {"Name": ref("Bucket")})["Name"]
    s3 = session.client("s3")
    for body in (b"one", b"two"):
        s3.put_object(Bucket=name, Key="folder/object", Body=body)
    s3.delete_object(Bucket=name, Key="folder/object")

    stacks.delete("bucket")

    assert name not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


def pipeline(**changes: Any) -> dict[str, Any]:
    def action(
        name: str, provider: str, *, inputs: tuple[str, ...] = (), outputs: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        return {
            "Name": name,
            "ActionTypeId": {"Category": "Build", "Owner": "AWS", "Provider": provider, "Version": "1"},
            "Configuration": {"ProjectName": ref("Project")} if provider == "CodeBuild" else {},
            "InputArtifacts": [{"Name": each} for each in inputs],
            "OutputArtifacts": [{"Name": each} for each in outputs],
        }

    stages = [
        {"Name": "Source", "Actions": [action("Source", "CodeStarSourceConnection", outputs=("Source",))]},
        {"Name": "Build", "Actions": [action("Synth", "CodeBuild", inputs=changes.get("inputs", ("Source",)))]},
    ]
    project = resource(
        "AWS::CodeBuild::Project",
        ServiceRole="arn:aws:iam::000000000000:role/build",
        Source={"Type": "CODEPIPELINE", "BuildSpec": "version: 0.2"},
        Artifacts={"Type": "CODEPIPELINE"},
        Environment={
            "Type": "LINUX_CONTAINER",
            "ComputeType": "BUILD_GENERAL1_SMALL",
            "Image": "aws/codebuild/standard:7.0",
        },
    )
    return {
        "Project": project,
        "Pipeline": resource(
            "AWS::CodePipeline::Pipeline",
            Name="pipeline-main",
            RoleArn="arn:aws:iam::000000000000:role/pipeline",
            Stages=stages[: changes.get("stages", 2)],
        ),
    }


def test_a_pipeline_is_recorded_with_resolved_properties(stacks: Stacks, emulator: EmulatorProcess) -> None:
    outputs = stacks.deploy("pipeline", pipeline(), {"Project": ref("Project"), "Pipeline": ref("Pipeline")})

    written = record(emulator, "AWS-CodePipeline-Pipeline", outputs["Pipeline"])
    stages = json.loads(written.read_text())["Stages"]
    assert stages[1]["Actions"][0]["Configuration"]["ProjectName"] == outputs["Project"]
    stacks.delete("pipeline")
    assert not written.exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stages": 1}, "minimum of 2 stages"),
        ({"inputs": ("Other",)}, "Input artifact Other of action Synth in stage Build"),
    ],
    ids=["stages", "artifact"],
)
def test_an_invalid_pipeline_is_refused(stacks: Stacks, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(StackFailedError, match=reason):
        stacks.deploy("refused", pipeline(**changes))
    stacks.delete("refused")


def test_a_web_acl_logs_only_to_a_waf_log_group(stacks: Stacks) -> None:
    def logging(group: str) -> dict[str, Any]:
        return {
            "Group": resource("AWS::Logs::LogGroup", LogGroupName=group),
            "Logging": resource(
                "AWS::WAFv2::LoggingConfiguration",
                ResourceArn="arn:aws:wafv2:us-east-1:000000000000:regional/webacl/waf-acl-dev/1",
                LogDestinationConfigs=[get("Group", "Arn")],
            ),
        }

    with pytest.raises(StackFailedError, match="must be named aws-waf-logs-"):
        stacks.deploy("waf-logs-refused", logging("/waf/dev"))

    stacks.deploy("waf-logs", logging("aws-waf-logs-dev"))
    stacks.delete("waf-logs")


def test_a_resource_is_in_the_account_and_region_of_its_stack(emulator: EmulatorProcess) -> None:
    account, region = "111111111111", "eu-west-1"
    stacks = Stacks(emulator.port, account=account, region=region)

    outputs = stacks.deploy("regional", {"Eip": resource("AWS::EC2::EIP", Domain="vpc")}, {"Ip": ref("Eip")})

    def addresses(**where: str) -> list[str]:
        ec2 = sessions.open_session(
            emulator.port,
            account=where.get("account", sessions.ACCOUNT_ID),
            region=where.get("region", sessions.REGION),
        ).client("ec2")
        return [address["PublicIp"] for address in ec2.describe_addresses()["Addresses"]]

    assert outputs["Ip"] in addresses(account=account, region=region)
    assert outputs["Ip"] not in addresses(account=account)
    assert outputs["Ip"] not in addresses(region=region)
    stacks.delete("regional")
    assert outputs["Ip"] not in addresses(account=account, region=region)
