"""Which actions CloudFormation needs for the resource types of the templates.

Source: the `handlers` and `tagging` permissions of the CloudFormation resource schemas, which come with cfn-lint.
"""

from collections.abc import Iterator, Mapping

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

#: Every type of PipelineStack, of its replicas in other regions, and of an environment in all of its variants.
TYPES = (
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
#: What no schema tells, or not the schema of the type that asks for it: type to actions, each with its source.
BESIDES: Mapping[str, Mapping[str, str]] = {
    # No registry type, so that its schema has no handlers.
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
    # The schema names the connection's old prefix only.
    "AWS::CodePipeline::Pipeline": {
        "codeconnections:PassConnection": "https://docs.aws.amazon.com/dtconsole/latest/userguide/rename.html"
    },
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {
        # Asked for in some accounts and not in others; nobody at AWS says in which.
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
    # The function behind a custom resource is called with CloudFormation's own rights.
    "Custom::": {
        "lambda:InvokeFunction": "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/"
        "template-custom-resources-lambda.html"
    },
    # Every template of the CDK reads the version of the bootstrap.
    "Parameters": {"ssm:GetParameters": "https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html"},
}
#: Services of features that no template uses: the schemas name all that a type could be asked for.
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
#: Actions of features that no template uses, where having them would matter, and names that IAM does not know at all:
#: some schemas list operations of the API, which is not what IAM calls them (cfn-lint W3037).
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
        "s3:REST.PUT.OBJECT",  # no action at all: the name of an access log's entry
        "secretsmanager:ReplicateSecretToRegions",
        "sns:PutDataProtectionPolicy",
    }
)


def needs_of(kind: str) -> set[str]:
    """The actions that CloudFormation needs for one resource type, custom ones included."""
    if kind.startswith("Custom::"):
        return set(BESIDES["Custom::"])
    named = {*_named_by_schema(kind), *BESIDES.get(kind, ())}
    return {one for one in named if one.partition(":")[0] not in UNUSED_SERVICES and one not in UNUSED_ACTIONS}


def needed_actions() -> list[str]:
    """Every action that the policies must allow."""
    found = {action for kind in TYPES for action in needs_of(kind)}
    return sorted(found | {action for actions in BESIDES.values() for action in actions})


def _named_by_schema(kind: str) -> Iterator[str]:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    for operation, handler in schema.get("handlers", {}).items():
        if operation != "list":  # nothing of a deployment lists
            yield from handler.get("permissions", ())
    tagging = schema.get("tagging", {})
    yield from tagging.get("permissions", ())
