"""One resource of every kind that an inventory lists: functions that create it and return its id."""

import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

#: Returns the boto3 client of a service.
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
    response = clients("ecs").register_task_definition(
        family="left", containerDefinitions=[{"name": "api", "image": "image", "memory": 128}]
    )
    return str(response["taskDefinition"]["taskDefinitionArn"])


def ecs_service(clients: Clients) -> str:
    clients("ecs").create_cluster(clusterName="services")
    response = clients("ecs").create_service(
        cluster="services", serviceName="left", taskDefinition=task_definition(clients), desiredCount=0
    )
    return str(response["service"]["serviceArn"])


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
    response = clients("elbv2").create_load_balancer(Name="left", Subnets=[subnet(clients)])
    return str(response["LoadBalancers"][0]["LoadBalancerArn"])


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


def create(service: str, operation: str, path: str, **arguments: Any) -> Callable[[Clients], str]:
    """Call one operation; `path` is the path of the id in the response, or `=id`."""

    def call(clients: Clients) -> str:
        value = getattr(clients(service), operation)(**arguments)
        if path.startswith("="):
            return path[1:]
        for part in path.split("."):
            value = value[int(part) if part.isdigit() else part]
        return str(value)

    return call


CREATE: dict[str, Callable[[Clients], str]] = {
    "CloudFormation export": export,
    "CloudFormation stack": stack,
    "CloudWatch alarm": create("cloudwatch", "put_composite_alarm", "=left", AlarmName="left", AlarmRule="TRUE"),
    "CloudWatch dashboard": create("cloudwatch", "put_dashboard", "=left", DashboardName="left", DashboardBody="{}"),
    "CodeBuild project": codebuild_project,
    "ECR image": image,
    "ECR repository": repository,
    "ECS cluster": create("ecs", "create_cluster", "cluster.clusterArn", clusterName="left"),
    "ECS service": ecs_service,
    "ECS task definition": task_definition,
    "Elastic IP address": create("ec2", "allocate_address", "AllocationId"),
    "EventBridge rule": create("events", "put_rule", "=left", Name="left", ScheduleExpression="rate(1 day)"),
    "IAM policy": create("iam", "create_policy", "Policy.Arn", PolicyName="left", PolicyDocument=POLICY),
    "IAM role": create("iam", "create_role", "=left", RoleName="left", AssumeRolePolicyDocument=POLICY),
    "IAM user": create("iam", "create_user", "=left", UserName="left"),
    "KMS alias": lambda clients: create(
        "kms",
        "create_alias",
        "=alias/left",
        AliasName="alias/left",
        TargetKeyId=create("kms", "create_key", "KeyMetadata.KeyId")(clients),
    )(clients),
    "KMS key": create("kms", "create_key", "KeyMetadata.KeyId"),
    "Lambda function": lambda_function,
    "NAT gateway": lambda clients: create(
        "ec2", "create_nat_gateway", "NatGateway.NatGatewayId", SubnetId=subnet(clients)
    )(clients),
    "RDS cluster parameter group": create(
        "rds",
        "create_db_cluster_parameter_group",
        "=left",
        DBClusterParameterGroupName="left",
        DBParameterGroupFamily="aurora-postgresql16",
        Description="left",
    ),
    "RDS cluster snapshot": cluster_snapshot,
    "RDS cluster": create(
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
    "RDS subnet group": lambda clients: create(
        "rds",
        "create_db_subnet_group",
        "=left",
        DBSubnetGroupName="left",
        DBSubnetGroupDescription="left",
        SubnetIds=[subnet(clients)],
    )(clients),
    "S3 bucket": bucket,
    "S3 object": s3_object,
    "SNS subscription": lambda clients: create(
        "sns",
        "subscribe",
        "SubscriptionArn",
        TopicArn=create("sns", "create_topic", "TopicArn", Name="subscribed")(clients),
        Protocol="sqs",
        Endpoint="arn:aws:sqs:us-east-1:000000000000:left",
    )(clients),
    "SNS topic": create("sns", "create_topic", "TopicArn", Name="left"),
    "SSM parameter": create("ssm", "put_parameter", "=/left", Name="/left", Value="value", Type="String"),
    "VPC endpoint": lambda clients: create(
        "ec2",
        "create_vpc_endpoint",
        "VpcEndpoint.VpcEndpointId",
        VpcId=vpc(clients),
        ServiceName="com.amazonaws.us-east-1.s3",
    )(clients),
    "VPC": vpc,
    "certificate": certificate,
    "flow log": lambda clients: create(
        "ec2",
        "create_flow_logs",
        "FlowLogIds.0",
        ResourceIds=[vpc(clients)],
        ResourceType="VPC",
        TrafficType="ALL",
        LogGroupName="left",
    )(clients),
    "hosted zone": create("route53", "create_hosted_zone", "HostedZone.Id", Name="example.com", CallerReference="1"),
    "internet gateway": create("ec2", "create_internet_gateway", "InternetGateway.InternetGatewayId"),
    "load balancer": load_balancer,
    "log group": create("logs", "create_log_group", "=left", logGroupName="left"),
    "log resource policy": create("logs", "put_resource_policy", "=left", policyName="left", policyDocument="{}"),
    "network ACL": lambda clients: create("ec2", "create_network_acl", "NetworkAcl.NetworkAclId", VpcId=vpc(clients))(
        clients
    ),
    "network interface": lambda clients: create(
        "ec2", "create_network_interface", "NetworkInterface.NetworkInterfaceId", SubnetId=subnet(clients)
    )(clients),
    "route table": lambda clients: create("ec2", "create_route_table", "RouteTable.RouteTableId", VpcId=vpc(clients))(
        clients
    ),
    "secret": create("secretsmanager", "create_secret", "=left", Name="left", SecretString="value"),
    "security group": create("ec2", "create_security_group", "GroupId", GroupName="left", Description="left"),
    "subnet": subnet,
    "target group": create("elbv2", "create_target_group", "TargetGroups.0.TargetGroupArn", Name="left"),
    "web ACL": web_acl,
}
