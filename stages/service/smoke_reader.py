"""The role with which the pipeline's smoke step reads this environment's smoke key and no other secret."""

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from kit.policies import allow, grant
from stages.config.environment import EnvironmentConfig
from stages.service.task_definition import use_key_for_secrets


class SmokeReader(Construct):
    """The smoke step assumes this role, whether or not the environment is in the pipeline's account.

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
            allow("ReadSmokeKey", ["secretsmanager:GetSecretValue"], [secret_arn]),
            use_key_for_secrets(config, key, "kms:Decrypt"),
        ]
        if config.unmatched_certificate_arn:  # the certificate is public, and the step verifies TLS against it
            actions = ["acm:DescribeCertificate", "acm:GetCertificate"]
            statements.append(allow("ReadCertificate", actions, [config.unmatched_certificate_arn]))
        grant(role, name=config.names.name("policy-smoke-reader"), statements=statements)
