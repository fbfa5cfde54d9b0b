"""The role with which the pipeline's smoke step reads this environment's smoke key, and no other secret."""

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from stages.config import EnvironmentConfig
from stages.policies import grant
from stages.task_definition import use_key_for_secrets


class SmokeReader(Construct):
    """One role for the same and for another account: the step assumes it wherever the environment lives.

    The pipeline's account decides which of its roles may assume it, by naming this role in their policies.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, config: EnvironmentConfig, key: kms.IKey, secret_arn: str
    ) -> None:
        super().__init__(scope, construct_id)
        role = iam.Role(
            self,
            "Role",
            role_name=config.names.smoke_reader_role,
            assumed_by=iam.AccountPrincipal(config.pipeline_account),
            description="Lets the pipeline's smoke step read the smoke checks' API key",
            max_session_duration=Duration.hours(1),
        )
        statements = [
            iam.PolicyStatement(sid="ReadSmokeKey", actions=["secretsmanager:GetSecretValue"], resources=[secret_arn]),
            use_key_for_secrets(config, key, "kms:Decrypt"),
        ]
        if config.foreign_certificate_arn:  # public, and what the step verifies TLS against
            statements.append(
                iam.PolicyStatement(
                    sid="ReadCertificate",
                    actions=["acm:DescribeCertificate", "acm:GetCertificate"],
                    resources=[config.foreign_certificate_arn],
                )
            )
        grant(role, name=config.names.name("policy-smoke-reader"), statements=statements)
