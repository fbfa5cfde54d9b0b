"""The actions that CloudFormation requires for the resource types of the templates.

Source: the `handlers` and `tagging` permissions of the CloudFormation resource schemas, which come with cfn-lint.
"""

from collections.abc import Iterator, Mapping

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]  # cfn-lint ships no types

#: Every type in PipelineStack, its replicas in other regions, and an environment in all its variants.
RESOURCE_TYPES = (
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CertificateManager::Certificate",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::CodeBuild::Project",
    "AWS::CodeBuild::ReportGroup",
    "AWS::CodePipeline::Pipeline",
    "AWS::EC2::EIP",
    "AWS::EC2::FlowLog",
    "AWS::EC2::InternetGateway",
    "AWS::EC2::NatGateway",
    "AWS::EC2::Route",
    "AWS::EC2::RouteTable",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::Subnet",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPC",
    "AWS::EC2::VPCEndpoint",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::ECS::Cluster",
    "AWS::ECS::Service",
    "AWS::ECS::TaskDefinition",
    "AWS::ElasticLoadBalancingV2::Listener",
    "AWS::ElasticLoadBalancingV2::ListenerRule",
    "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "AWS::ElasticLoadBalancingV2::TargetGroup",
    "AWS::Events::Rule",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Role",
    "AWS::KMS::Alias",
    "AWS::KMS::Key",
    "AWS::Lambda::Function",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::Logs::QueryDefinition",
    "AWS::Logs::ResourcePolicy",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBClusterParameterGroup",
    "AWS::RDS::DBInstance",
    "AWS::RDS::DBSubnetGroup",
    "AWS::Route53::RecordSet",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SecretsManager::Secret",
    "AWS::WAFv2::LoggingConfiguration",
    "AWS::WAFv2::WebACL",
    "AWS::WAFv2::WebACLAssociation",
)
_ELB = "https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-permissions.html"
_WAF = "https://docs.aws.amazon.com/waf/latest/developerguide/logging-cw-logs.html"
_RDS_KEY = "https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Overview.Encryption.Keys.html"
_CODEBUILD = "https://docs.aws.amazon.com/codebuild/latest/userguide/auth-and-access-control-permissions-reference.html"
#: Actions that no schema names, or not the schema of the type that requires them: type to action to source.
ADDITIONAL_ACTIONS: Mapping[str, Mapping[str, str]] = {
    # Not a registry type, so its schema has no handlers.
    "AWS::CodeBuild::Project": dict.fromkeys(
        (
            "codebuild:BatchGetProjects",
            "codebuild:CreateProject",
            "codebuild:DeleteProject",
            "codebuild:UpdateProject",
            "iam:PassRole",
        ),
        _CODEBUILD,
    ),
    # The schema names the old prefix of connections only.
    "AWS::CodePipeline::Pipeline": {
        "codeconnections:PassConnection": "https://docs.aws.amazon.com/dtconsole/latest/userguide/rename.html"
    },
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {
        # Required in some accounts and not in others; AWS does not document in which.
        "ec2:GetSecurityGroupsForVpc": "https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3917",
        **dict.fromkeys(
            (
                "ec2:DescribeAccountAttributes",
                "ec2:DescribeAddresses",
                "ec2:DescribeInternetGateways",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
                "iam:CreateServiceLinkedRole",
            ),
            _ELB,
        ),
    },
    "AWS::ElasticLoadBalancingV2::TargetGroup": dict.fromkeys(
        ("ec2:DescribeInternetGateways", "ec2:DescribeVpcs", "iam:CreateServiceLinkedRole"), _ELB
    ),
    "AWS::RDS::DBCluster": dict.fromkeys(("kms:CreateGrant", "kms:DescribeKey"), _RDS_KEY),
    "AWS::WAFv2::LoggingConfiguration": dict.fromkeys(
        (
            "logs:CreateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:DescribeLogGroups",
            "logs:DescribeResourcePolicies",
            "logs:PutResourcePolicy",
        ),
        _WAF,
    ),
    # The function behind a custom resource is invoked with CloudFormation's own permissions.
    "Custom::": {
        "lambda:InvokeFunction": "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/"
        "template-custom-resources-lambda.html"
    },
    # Every CDK template reads the version of the bootstrap stack.
    "Parameters": {"ssm:GetParameters": "https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html"},
}
#: Services of features that no template uses: the schemas name all that a type could require.
UNUSED_SERVICES = frozenset(
    {
        "acm-pca",
        "amplify",
        "apigateway",
        "apprunner",
        "appsync",
        "autoscaling",
        "bedrock-agentcore",
        "cognito-idp",
        "elasticfilesystem",
        "firehose",
        "payments",
        "s3files",
        "s3tables",
        "vpc-lattice",
        "vpce",
    }
)
#: Sensitive actions of features that no template uses, and names that IAM does not know: some schemas list API
#: operations, for which IAM has other names (cfn-lint W3037).
UNUSED_ACTIONS = frozenset(
    {
        "ec2:AcceptAddressTransfer",
        "ecs:PutAccountSetting",
        "ecs:PutAccountSettingDefault",
        "iam:AttachGroupPolicy",
        "iam:AttachUserPolicy",
        "iam:DeleteRolePermissionsBoundary",
        "iam:DescribeOrganization",
        "iam:DetachGroupPolicy",
        "iam:DetachUserPolicy",
        "iam:PutRolePermissionsBoundary",
        "iam:PutRolePolicy",
        "lambda:AssociateRuntimeAlias",
        "lambda:PassCapacityProvider",
        "s3:DeleteBucketAnalyticsConfiguration",
        "s3:DeleteBucketCors",
        "s3:DeleteBucketEncryption",
        "s3:DeleteBucketLifecycle",
        "s3:DeleteBucketMetricsConfiguration",
        "s3:DeleteBucketReplication",
        "s3:DeleteBucketTagging",
        "s3:PutBucketReplication",
        "s3:PutObjectLockConfiguration",
        "s3:PutReplicationConfiguration",
        "s3:REST.PUT.OBJECT",  # not an action: the name of an access log entry
        "secretsmanager:ReplicateSecretToRegions",
        "sns:PutDataProtectionPolicy",
    }
)


def required_actions(resource_type: str) -> set[str]:
    """Return the actions that CloudFormation requires for one resource type or custom resource."""
    if resource_type.startswith("Custom::"):
        return set(ADDITIONAL_ACTIONS["Custom::"])
    actions = {*_schema_actions(resource_type), *ADDITIONAL_ACTIONS.get(resource_type, ())}
    return {action for action in actions - UNUSED_ACTIONS if action.partition(":")[0] not in UNUSED_SERVICES}


def all_required_actions() -> list[str]:
    """Return every action that the policies must allow."""
    found = {action for resource_type in RESOURCE_TYPES for action in required_actions(resource_type)}
    return sorted(found | {action for actions in ADDITIONAL_ACTIONS.values() for action in actions})


def _schema_actions(resource_type: str) -> Iterator[str]:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource_type).schema
    for operation, handler in schema.get("handlers", {}).items():
        if operation != "list":  # deployments do not list
            yield from handler.get("permissions", ())
    tagging = schema.get("tagging", {})
    yield from tagging.get("permissions", ())
