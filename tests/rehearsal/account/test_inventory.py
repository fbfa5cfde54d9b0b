"""Whatever is left in an account is found and named, kind by kind."""

import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rehearsal.account import sessions
from rehearsal.account.inventory import LISTINGS, difference, in_words, take_inventory
from rehearsal.account.records import Records
from rehearsal.emulator.process import EmulatorProcess

pytestmark = pytest.mark.rehearsal

Clients = Callable[[str], Any]
ALLOWED = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::left/*"}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [ALLOWED]})
TEMPLATE = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}


def vpc(clients: Clients) -> str:
    return str(clients("ec2").create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"])


def subnet(clients: Clients) -> str:
    return str(clients("ec2").create_subnet(VpcId=vpc(clients), CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"])


def bucket(clients: Clients) -> str:
    clients("s3").create_bucket(Bucket="left-bucket")
    return "left-bucket"


def s3_object(clients: Clients) -> str:
    clients("s3").put_object(Bucket=bucket(clients), Key="folder/left", Body=b"left")
    return "left-bucket/folder/left"


def repository(clients: Clients) -> str:
    clients("ecr").create_repository(repositoryName="left")
    return "left"


def image(clients: Clients) -> str:
    clients("ecr").create_repository(repositoryName="images")
    clients("ecr").put_image(repositoryName="images", imageManifest="{}", imageTag="left")
    return "images:left"


def task_definition(clients: Clients) -> str:
    made = clients("ecs").register_task_definition(
        family="left", containerDefinitions=[{"name": "api", "image": "image", "memory": 128}]
    )
    return str(made["taskDefinition"]["taskDefinitionArn"])


def ecs_service(clients: Clients) -> str:
    clients("ecs").create_cluster(clusterName="services")
    made = clients("ecs").create_service(
        cluster="services", serviceName="left", taskDefinition=task_definition(clients), desiredCount=0
    )
    return str(made["service"]["serviceArn"])


def certificate(clients: Clients) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "left")])
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, end)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return str(clients("acm").import_certificate(Certificate=public, PrivateKey=private)["CertificateArn"])


def load_balancer(clients: Clients) -> str:
    made = clients("elbv2").create_load_balancer(Name="left", Subnets=[subnet(clients)])
    return str(made["LoadBalancers"][0]["LoadBalancerArn"])


def lambda_function(clients: Clients) -> str:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", "def handler(event, context): pass")
    clients("lambda").create_function(
        FunctionName="left",
        Runtime="python3.13",
        Role="arn:aws:iam::000000000000:role/left",
        Handler="index.handler",
        Code={"ZipFile": code.getvalue()},
    )
    return "left"


def web_acl(clients: Clients) -> str:
    visibility = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "left"}
    clients("wafv2").create_web_acl(
        Name="left", Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=visibility
    )
    return "left"


def codebuild_project(clients: Clients) -> str:
    clients("codebuild").create_project(
        name="left",
        source={"type": "NO_SOURCE", "buildspec": "version: 0.2"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "image", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole="arn:aws:iam::000000000000:role/left",
    )
    return "left"


def cluster_snapshot(clients: Clients) -> str:
    rds = clients("rds")
    rds.create_db_cluster(
        DBClusterIdentifier="snapped", Engine="aurora-postgresql", MasterUsername="o", MasterUserPassword="p" * 9
    )
    rds.create_db_cluster_snapshot(DBClusterIdentifier="snapped", DBClusterSnapshotIdentifier="left")
    return "left"


def instance_snapshot(clients: Clients) -> str:
    rds_instance(clients, "snapped")
    clients("rds").create_db_snapshot(DBInstanceIdentifier="snapped", DBSnapshotIdentifier="left")
    return "left"


def rds_instance(clients: Clients, name: str = "left") -> str:
    clients("rds").create_db_instance(
        DBInstanceIdentifier=name, DBInstanceClass="db.serverless", Engine="aurora-postgresql"
    )
    return name


def export(clients: Clients) -> str:
    output = {"Name": {"Value": "value", "Export": {"Name": "left"}}}
    clients("cloudformation").create_stack(
        StackName="exporting", TemplateBody=json.dumps({**TEMPLATE, "Outputs": output})
    )
    clients("cloudformation").get_waiter("stack_create_complete").wait(
        StackName="exporting", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    return "left"


def stack(clients: Clients) -> str:
    clients("cloudformation").create_stack(StackName="left", TemplateBody=json.dumps(TEMPLATE))
    return "left"


def made(service: str, operation: str, path: str, **arguments: Any) -> Callable[[Clients], str]:
    """Call one operation; `path` leads to the id in its answer, or is `=id`."""

    def plant(clients: Clients) -> str:
        answer = getattr(clients(service), operation)(**arguments)
        if path.startswith("="):
            return path[1:]
        for part in path.split("."):
            answer = answer[int(part) if part.isdigit() else part]
        return str(answer)

    return plant


PLANTS: dict[str, Callable[[Clients], str]] = {
    "CloudFormation export": export,
    "CloudFormation stack": stack,
    "CloudWatch alarm": made("cloudwatch", "put_composite_alarm", "=left", AlarmName="left", AlarmRule="TRUE"),
    "CloudWatch dashboard": made("cloudwatch", "put_dashboard", "=left", DashboardName="left", DashboardBody="{}"),
    "CodeBuild project": codebuild_project,
    "ECR image": image,
    "ECR repository": repository,
    "ECS cluster": made("ecs", "create_cluster", "cluster.clusterArn", clusterName="left"),
    "ECS service": ecs_service,
    "ECS task definition": task_definition,
    "Elastic IP address": made("ec2", "allocate_address", "AllocationId"),
    "EventBridge rule": made("events", "put_rule", "=left", Name="left", ScheduleExpression="rate(1 day)"),
    "IAM instance profile": made("iam", "create_instance_profile", "=left", InstanceProfileName="left"),
    "IAM policy": made("iam", "create_policy", "Policy.Arn", PolicyName="left", PolicyDocument=POLICY),
    "IAM role": made("iam", "create_role", "=left", RoleName="left", AssumeRolePolicyDocument=POLICY),
    "IAM user": made("iam", "create_user", "=left", UserName="left"),
    "KMS alias": lambda clients: made(
        "kms",
        "create_alias",
        "=alias/left",
        AliasName="alias/left",
        TargetKeyId=made("kms", "create_key", "KeyMetadata.KeyId")(clients),
    )(clients),
    "KMS key": made("kms", "create_key", "KeyMetadata.KeyId"),
    "Lambda function": lambda_function,
    "NAT gateway": lambda clients: made(
        "ec2", "create_nat_gateway", "NatGateway.NatGatewayId", SubnetId=subnet(clients)
    )(clients),
    "RDS cluster parameter group": made(
        "rds",
        "create_db_cluster_parameter_group",
        "=left",
        DBClusterParameterGroupName="left",
        DBParameterGroupFamily="aurora-postgresql16",
        Description="left",
    ),
    "RDS cluster snapshot": cluster_snapshot,
    "RDS cluster": made(
        "rds",
        "create_db_cluster",
        "=left",
        DBClusterIdentifier="left",
        Engine="aurora-postgresql",
        MasterUsername="o",
        MasterUserPassword="p" * 9,
    ),
    "RDS instance snapshot": instance_snapshot,
    "RDS instance": rds_instance,
    "RDS parameter group": made(
        "rds",
        "create_db_parameter_group",
        "=left",
        DBParameterGroupName="left",
        DBParameterGroupFamily="aurora-postgresql16",
        Description="left",
    ),
    "RDS subnet group": lambda clients: made(
        "rds",
        "create_db_subnet_group",
        "=left",
        DBSubnetGroupName="left",
        DBSubnetGroupDescription="left",
        SubnetIds=[subnet(clients)],
    )(clients),
    "S3 bucket": bucket,
    "S3 object": s3_object,
    "SNS subscription": lambda clients: made(
        "sns",
        "subscribe",
        "SubscriptionArn",
        TopicArn=made("sns", "create_topic", "TopicArn", Name="subscribed")(clients),
        Protocol="sqs",
        Endpoint="arn:aws:sqs:us-east-1:000000000000:left",
    )(clients),
    "SNS topic": made("sns", "create_topic", "TopicArn", Name="left"),
    "SQS queue": made("sqs", "create_queue", "QueueUrl", QueueName="left"),
    "SSM parameter": made("ssm", "put_parameter", "=/left", Name="/left", Value="value", Type="String"),
    "VPC endpoint": lambda clients: made(
        "ec2",
        "create_vpc_endpoint",
        "VpcEndpoint.VpcEndpointId",
        VpcId=vpc(clients),
        ServiceName="com.amazonaws.us-east-1.s3",
    )(clients),
    "VPC": vpc,
    "certificate": certificate,
    "flow log": lambda clients: made(
        "ec2",
        "create_flow_logs",
        "FlowLogIds.0",
        ResourceIds=[vpc(clients)],
        ResourceType="VPC",
        TrafficType="ALL",
        LogGroupName="left",
    )(clients),
    "hosted zone": made("route53", "create_hosted_zone", "HostedZone.Id", Name="example.com", CallerReference="1"),
    "internet gateway": made("ec2", "create_internet_gateway", "InternetGateway.InternetGatewayId"),
    "load balancer": load_balancer,
    "log group": made("logs", "create_log_group", "=left", logGroupName="left"),
    "log resource policy": made("logs", "put_resource_policy", "=left", policyName="left", policyDocument="{}"),
    "network ACL": lambda clients: made("ec2", "create_network_acl", "NetworkAcl.NetworkAclId", VpcId=vpc(clients))(
        clients
    ),
    "network interface": lambda clients: made(
        "ec2", "create_network_interface", "NetworkInterface.NetworkInterfaceId", SubnetId=subnet(clients)
    )(clients),
    "route table": lambda clients: made("ec2", "create_route_table", "RouteTable.RouteTableId", VpcId=vpc(clients))(
        clients
    ),
    "secret": made("secretsmanager", "create_secret", "=left", Name="left", SecretString="value"),
    "security group": made("ec2", "create_security_group", "GroupId", GroupName="left", Description="left"),
    "subnet": subnet,
    "target group": made("elbv2", "create_target_group", "TargetGroups.0.TargetGroupArn", Name="left"),
    "web ACL": web_acl,
}


def test_every_kind_has_a_test() -> None:
    assert PLANTS.keys() == LISTINGS.keys()


@pytest.mark.parametrize("kind", sorted(PLANTS))
def test_a_leftover_is_named(emulator: EmulatorProcess, kind: str) -> None:
    session: Any = sessions.open_session(emulator.port)
    before = frozenset(LISTINGS[kind](session))

    planted = PLANTS[kind](session.client)

    assert planted not in before
    assert frozenset(LISTINGS[kind](session)) - before >= {planted}


def test_the_whole_account_is_compared(emulator: EmulatorProcess) -> None:
    session = sessions.open_session(emulator.port)
    records = emulator.data / "records"
    before = take_inventory(session, records=records)
    assert difference(before, take_inventory(session, records=records)) == {}

    session.client("sns").create_topic(Name="alarms")
    session.client("sns").create_topic(Name="approvals")
    Records(records).write("AWS::CodePipeline::Pipeline", "pipeline-main", {})

    topic = "arn:aws:sns:us-east-1:000000000000"
    assert in_words(difference(before, take_inventory(session, records=records))) == (
        f"AWS::CodePipeline::Pipeline: pipeline-main\nSNS topic: {topic}:alarms, {topic}:approvals"
    )


def test_what_nobody_can_remove_is_not_held_against_a_destroy(emulator: EmulatorProcess) -> None:
    session = sessions.open_session(emulator.port)
    before = take_inventory(session)
    key = session.client("kms").create_key()["KeyMetadata"]["KeyId"]
    session.client("kms").schedule_key_deletion(KeyId=key, PendingWindowInDays=7)

    assert difference(before, take_inventory(session)) == {}


def test_an_id_with_any_character_is_a_record(tmp_path: Path) -> None:
    records = Records(tmp_path)
    identifier = "service/ecs-cluster-dev/api|ecs:service:DesiredCount|ecs"

    records.write("AWS::ApplicationAutoScaling::ScalableTarget", identifier, {"MinCapacity": 1})

    assert records.ids() == {"AWS::ApplicationAutoScaling::ScalableTarget": {identifier}}
    records.remove("AWS::ApplicationAutoScaling::ScalableTarget", identifier)
    assert records.ids() == {}
