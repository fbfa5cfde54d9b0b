"""Small functions of the pipeline: Python, inline, with a declared log group and a role that is stated whole."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from pipeline.config import PipelineConfig
from pipeline.storage import PipelineStorage
from stages.acknowledgements import acknowledge
from stages.log_groups import DeclaredLogGroup
from stages.policies import grant

HANDLERS = Path(__file__).parent / "handlers"
#: CloudFormation's limit for code in a template.
INLINE_CHARACTERS = 4_096
#: Every function of the pipeline; what their log groups are named after.
KINDS = ("notify", "drift")


def inline_source(kind: str) -> str:
    """The code of a function as it goes into the template: its module without the docstring."""
    return (HANDLERS / f"{kind}.py").read_text(encoding="utf-8").split('"""', 2)[2].strip() + "\n"


class PipelineFunction(Construct):
    """A function that may do exactly `statements`, besides writing its log.

    Attributes:
        function: the function.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: PipelineConfig,
        storage: PipelineStorage,
        kind: str,
        description: str,
        environment: Mapping[str, str],
        statements: Sequence[iam.PolicyStatement],
        timeout: Duration,
    ) -> None:
        super().__init__(scope, construct_id)
        names = config.names
        log_group = DeclaredLogGroup(
            self, "Logs", name=names.function_logs(f"pipeline-{kind}"), config=config, key=storage.key
        )
        role = iam.Role(
            self,
            "Role",
            role_name=names.name(f"role-pipeline-{kind}"),
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=description,
        )
        policy = grant(
            role,
            name=names.name(f"policy-pipeline-{kind}"),
            statements=[
                *statements,
                iam.PolicyStatement(
                    sid="WriteOwnLog",
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                    resources=[log_group.log_group_arn],
                ),
            ],
        )
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=names.function(f"pipeline-{kind}"),
            description=description,
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler="index.handler",
            code=lambda_.Code.from_inline(inline_source(kind)),
            # By ARN: given the role itself, CDK lets the function depend on it twice, which cfn-lint rightly finds odd.
            role=iam.Role.from_role_arn(self, "RoleAsIs", role.role_arn, mutable=False),
            log_group=log_group,
            memory_size=128,
            timeout=timeout,
            environment=dict(environment),
            environment_encryption=storage.key,
        )
        self.function.node.add_dependency(policy)
        seldom = "Called a few times a day by EventBridge, which tries again for a day; "
        acknowledge(
            self.function,
            {
                **dict.fromkeys(
                    ("NIST.800.53.R5-LambdaConcurrency", "CKV_AWS_115"),
                    seldom + "it cannot take capacity from anything.",
                ),
                **dict.fromkeys(
                    ("NIST.800.53.R5-LambdaDLQ", "CKV_AWS_116"),
                    seldom + "what it reports stands in the console as well.",
                ),
                **dict.fromkeys(
                    ("NIST.800.53.R5-LambdaInsideVPC", "PCI.DSS.321-LambdaInsideVPC", "CKV_AWS_117"),
                    seldom + "it talks to AWS endpoints only, and the pipeline has no VPC.",
                ),
            },
        )
