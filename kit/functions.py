"""Lambda functions of a single Python file, inline in the template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from kit.acknowledgements import acknowledge
from kit.environment import TargetEnvironment
from kit.log_groups import EncryptedLogGroup
from kit.policies import allow, grant

#: CloudFormation's limit for inline code, in characters.
INLINE_LIMIT = 4_096


@dataclass(frozen=True, kw_only=True)
class FunctionFindings:
    """Why a function may do without what the rule packs ask for."""

    #: Why it has no reserved concurrency.
    concurrency: str
    #: Why it has no dead-letter queue.
    dead_letter_queue: str
    #: Why it runs outside the VPC.
    vpc: str


class InlineFunction(Construct):
    """A function that may do exactly `statements`, and write its log.

    Attributes:
        function: The Lambda function.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        target: TargetEnvironment,
        key: kms.IKey,
        purpose: str,
        description: str,
        source: Path,
        statements: Sequence[iam.PolicyStatement],
        timeout: Duration,
        findings: FunctionFindings,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        names = target.names
        log_group = EncryptedLogGroup(self, "Logs", name=names.function_logs(purpose), target=target, key=key)
        role = iam.Role(
            self,
            "Role",
            role_name=names.name(f"role-{purpose}"),
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=description,
        )
        policy = grant(
            role,
            name=names.name(f"policy-{purpose}"),
            statements=[
                *statements,
                allow("WriteOwnLog", ["logs:CreateLogStream", "logs:PutLogEvents"], [log_group.log_group_arn]),
            ],
        )
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=names.function(purpose),
            description=description,
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler="index.handler",
            code=lambda_.Code.from_inline(inline_source(source)),
            # By ARN: given the role itself, CDK adds the dependency on it twice, which cfn-lint reports.
            role=iam.Role.from_role_arn(self, "ImportedRole", role.role_arn, mutable=False),
            log_group=log_group,
            memory_size=128,
            timeout=timeout,
            environment=dict(environment) if environment else None,
            environment_encryption=key if environment else None,
        )
        self.function.node.add_dependency(policy)
        for rules, reason in (
            (("NIST.800.53.R5-LambdaConcurrency", "CKV_AWS_115"), findings.concurrency),
            (("NIST.800.53.R5-LambdaDLQ", "CKV_AWS_116"), findings.dead_letter_queue),
            (("NIST.800.53.R5-LambdaInsideVPC", "PCI.DSS.321-LambdaInsideVPC", "CKV_AWS_117"), findings.vpc),
        ):
            acknowledge(self.function, *rules, reason=reason)


def inline_source(path: Path) -> str:
    """Return a module's code as it goes into the template: without its docstring, to save characters."""
    return path.read_text(encoding="utf-8").split('"""', 2)[2].strip() + "\n"
