"""The common part of every task definition: two roles, hardened containers, database access, environment variables.

The containers' environment is the contract with `service/`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import Duration, Size
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from kit.acknowledgements import acknowledge
from kit.policies import allow, grant
from stages.config import capacity_model
from stages.config.environment import EnvironmentConfig
from stages.database.credentials import CredentialArns, import_secret
from stages.database.stack import DATABASE_NAME
from stages.network.security_groups import DATABASE_PORT

SERVICE_FOLDER = Path(__file__).parents[2] / "service"
#: Seconds between SIGTERM and SIGKILL: longer than api and worker take to drain.
STOP_TIMEOUT = 60
#: User and group of the processes, which own no file in the image.
USER = "10001:10001"
#: Size of `/tmp` in MiB.
TMP_MIB = 64


@dataclass(frozen=True, kw_only=True)
class TaskInputs:
    """Inputs that all kinds of task have in common."""

    config: EnvironmentConfig
    key: kms.IKey
    image: ecr_assets.DockerImageAsset
    credentials: CredentialArns
    #: Complete ARN of the smoke checks' key.
    smoke_key: str
    database_host: str
    base_url: str
    migrate_logs: logs.ILogGroup


class Task(Construct):
    """A task definition with its two roles and, so far, no container.

    Attributes:
        definition: The task definition.
        task_role: The role of the processes in it, which has no permissions yet.
        execution_policy: What a service must depend on, so that its first task can start.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        kind: str,
        role_description: str,
        cpu: int,
        memory_mib: int,
        log_groups: Sequence[logs.ILogGroup],
        secrets: Sequence[str],
        inputs: TaskInputs,
    ) -> None:
        super().__init__(scope, construct_id)
        self._kind, self._inputs = kind, inputs
        names = inputs.config.names
        execution = self._execution_role(log_groups, secrets)
        self.task_role = iam.Role(
            self,
            "TaskRole",
            role_name=names.name(f"role-{kind}-task"),
            assumed_by=_ecs_tasks(inputs.config),
            description=f"The {kind} process itself: {role_description}",
        )
        self.definition = ecs.FargateTaskDefinition(
            self,
            "Definition",
            family=names.name(f"ecs-task-{kind}"),
            cpu=cpu,
            memory_limit_mib=memory_mib,
            execution_role=execution.without_policy_updates(),
            task_role=self.task_role.without_policy_updates(),
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.X86_64, operating_system_family=ecs.OperatingSystemFamily.LINUX
            ),
        )
        acknowledge(
            self.definition,
            "AwsSolutions-ECS2",
            reason="The variables hold addresses, names and switches only; secrets come from Secrets Manager. They "
            "are the documented contract with the service.",
        )

    def application_environment(self) -> dict[str, str]:
        """Return the variables of every application process, besides those of the database."""
        config = self._inputs.config
        return {
            "PUBLIC_BASE_URL": self._inputs.base_url,
            "PROCESSOR": config.processor,
            "ALLOW_LIVE_KEYS": str(config.allow_live_keys).lower(),
            "DB_POOL_SIZE": str(capacity_model.POOL),
        }

    def application_secrets(self) -> dict[str, ecs.Secret]:
        """Return the application's database credentials, which cannot change the schema, and the processor's keys."""
        application = import_secret(self, "Application", self._inputs.credentials.application)
        processor = import_secret(self, "Processor", self._inputs.credentials.processor)
        return {
            "PGUSER": ecs.Secret.from_secrets_manager(application, "username"),
            "PGPASSWORD": ecs.Secret.from_secrets_manager(application, "password"),
            "STRIPE_API_KEY": ecs.Secret.from_secrets_manager(processor, "api_key"),
            "STRIPE_WEBHOOK_SECRET": ecs.Secret.from_secrets_manager(processor, "webhook_secret"),
        }

    def add_container(
        self,
        name: str,
        *,
        essential: bool,
        log_group: logs.ILogGroup,
        environment: Mapping[str, str],
        secrets: Mapping[str, ecs.Secret],
        command: Sequence[str] = (),
        health_check: ecs.HealthCheck | None = None,
    ) -> ecs.ContainerDefinition:
        """Add a container that runs `payments NAME`, or `payments` with the arguments in `command`."""
        inputs = self._inputs
        linux = ecs.LinuxParameters(self, f"Linux{name.title()}", init_process_enabled=True)
        linux.drop_capabilities(ecs.Capability.ALL)
        linux.add_tmpfs(  # in memory, the only writable path: TLS keys never reach a disk
            ecs.Tmpfs(
                container_path="/tmp",  # noqa: S108 - a mount of its own in each container
                size=TMP_MIB,
                mount_options=[
                    ecs.TmpfsMountOption.RW,
                    ecs.TmpfsMountOption.NOEXEC,
                    ecs.TmpfsMountOption.NOSUID,
                    ecs.TmpfsMountOption.NODEV,
                ],
            )
        )
        return self.definition.add_container(
            name,
            container_name=name,
            image=ecs.ContainerImage.from_docker_image_asset(inputs.image),
            command=["python", "-m", "payments", *(command or [name])],
            essential=essential,
            user=USER,
            readonly_root_filesystem=True,
            linux_parameters=linux,
            stop_timeout=Duration.seconds(STOP_TIMEOUT),
            environment={
                "ENVIRONMENT": inputs.config.environment_suffix,
                "PGHOST": inputs.database_host,
                "PGPORT": str(DATABASE_PORT),
                "PGDATABASE": DATABASE_NAME,
                "PGSSLMODE": "verify-full",
                "PGSSLROOTCERT": "/app/rds-global-bundle.pem",
                **environment,
            },
            secrets=dict(secrets),
            health_check=health_check,
            logging=ecs.LogDrivers.aws_logs(
                log_group=log_group,
                stream_prefix=name,
                mode=ecs.AwsLogDriverMode.NON_BLOCKING,  # payments continue while CloudWatch rejects logs
                max_buffer_size=Size.mebibytes(25),
            ),
        )

    def _execution_role(self, log_groups: Sequence[logs.ILogGroup], secrets: Sequence[str]) -> iam.Role:
        inputs, names = self._inputs, self._inputs.config.names
        role = iam.Role(
            self,
            "ExecutionRole",
            role_name=names.name(f"role-{self._kind}-execution"),
            assumed_by=_ecs_tasks(inputs.config),
            description=f"Starts {self._kind} tasks: pulls the image, injects secrets, writes logs",
        )
        self.execution_policy = grant(
            role,
            name=names.name(f"policy-{self._kind}-execution"),
            statements=[
                allow("RegistryToken", ["ecr:GetAuthorizationToken"], ["*"]),
                allow(
                    "PullImage",
                    ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                    [inputs.image.repository.repository_arn],
                ),
                allow(
                    "WriteLogs",
                    ["logs:CreateLogStream", "logs:PutLogEvents"],
                    [group.log_group_arn for group in log_groups],
                ),
                allow("ReadOwnSecrets", ["secretsmanager:GetSecretValue"], secrets),
                use_key_for_secrets(inputs.config, inputs.key, "kms:Decrypt"),
            ],
        )
        return role


def use_key_for_secrets(config: EnvironmentConfig, key: kms.IKey, *actions: str) -> iam.PolicyStatement:
    """Allow use of the environment's key through Secrets Manager only: `kms:Decrypt` to read secrets."""
    through_secrets_manager = {"kms:ViaService": f"secretsmanager.{config.region}.amazonaws.com"}
    return allow("UseKeyForSecrets", actions, [key.key_arn], {"StringEquals": through_secrets_manager})


def _ecs_tasks(config: EnvironmentConfig) -> iam.IPrincipal:
    """Trust ECS tasks of this account and region only (confused deputy)."""
    return iam.ServicePrincipal(
        "ecs-tasks.amazonaws.com",
        conditions={
            "StringEquals": {"aws:SourceAccount": config.account},
            "ArnLike": {"aws:SourceArn": f"arn:aws:ecs:{config.region}:{config.account}:*"},
        },
    )
