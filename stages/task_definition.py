"""What every task definition has in common: two roles, locked-down containers, the database, the environment.

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

from stages.acknowledgements import acknowledge
from stages.config import EnvironmentConfig
from stages.database import DATABASE_NAME
from stages.policies import grant
from stages.secrets import SecretArns, imported
from stages.security_groups import DATABASE_PORT

SERVICE_FOLDER = Path(__file__).parent.parent / "service"
#: Seconds between SIGTERM and SIGKILL: more than the drain of api and worker takes.
STOP_TIMEOUT = 60
#: User and group of the processes, which own nothing in the image.
USER = "10001:10001"
TMP_MIB = 64


@dataclass(frozen=True, kw_only=True)
class TaskInputs:
    """What all kinds of task have in common."""

    config: EnvironmentConfig
    key: kms.IKey
    image: ecr_assets.DockerImageAsset
    secrets: SecretArns
    smoke_key: str
    """Complete ARN of the smoke checks' key."""
    database_host: str
    base_url: str
    migrate_logs: logs.ILogGroup


class Task(Construct):
    """A task definition with its two roles, and without a container yet.

    Attributes:
        definition: the task definition.
        task_role: the role of the processes in it, which may do nothing.
        ready: what a service must depend on besides it, so that roles can do their work when the first task starts.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        kind: str,
        does: str,
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
            assumed_by=_tasks_of(inputs.config),
            description=f"The {kind} process itself: {does}",
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
            {
                "AwsSolutions-ECS2": "Only addresses, names and switches; what is secret comes from Secrets Manager. "
                "The variables are the documented contract with the service."
            },
        )

    def application_environment(self) -> dict[str, str]:
        """What every process of the application is told, besides the database's address."""
        config = self._inputs.config
        return {
            "PUBLIC_BASE_URL": self._inputs.base_url,
            "PROCESSOR": config.processor,
            "ALLOW_LIVE_KEYS": str(config.allow_live_keys).lower(),
        }

    def application_secrets(self) -> dict[str, ecs.Secret]:
        """The application's credentials of the database, which cannot change the schema, and the processor's keys."""
        application = imported(self, "Application", self._inputs.secrets.application)
        processor = imported(self, "Processor", self._inputs.secrets.processor)
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
        """A container that runs `payments NAME`, or `payments` with the words of `command`."""
        inputs = self._inputs
        linux = ecs.LinuxParameters(self, f"Linux{name.title()}", init_process_enabled=True)
        linux.drop_capabilities(ecs.Capability.ALL)
        linux.add_tmpfs(  # memory-backed, the only writable place: TLS keys never reach a disk
            ecs.Tmpfs(
                container_path="/tmp",  # noqa: S108
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
                mode=ecs.AwsLogDriverMode.NON_BLOCKING,  # payments go on when CloudWatch does not take logs
                max_buffer_size=Size.mebibytes(25),
            ),
        )

    def _execution_role(self, log_groups: Sequence[logs.ILogGroup], secrets: Sequence[str]) -> iam.Role:
        inputs, names = self._inputs, self._inputs.config.names
        role = iam.Role(
            self,
            "ExecutionRole",
            role_name=names.name(f"role-{self._kind}-execution"),
            assumed_by=_tasks_of(inputs.config),
            description=f"Starts {self._kind} tasks: pulls the image, injects secrets, writes logs",
        )
        self.ready = grant(
            role,
            name=names.name(f"policy-{self._kind}-execution"),
            statements=[
                iam.PolicyStatement(sid="RegistryToken", actions=["ecr:GetAuthorizationToken"], resources=["*"]),
                iam.PolicyStatement(
                    sid="PullImage",
                    actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                    resources=[inputs.image.repository.repository_arn],
                ),
                iam.PolicyStatement(
                    sid="WriteLogs",
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                    resources=[group.log_group_arn for group in log_groups],
                ),
                iam.PolicyStatement(
                    sid="ReadOwnSecrets", actions=["secretsmanager:GetSecretValue"], resources=list(secrets)
                ),
                use_key_for_secrets(inputs.config, inputs.key, "kms:Decrypt"),
            ],
        )
        return role


def use_key_for_secrets(config: EnvironmentConfig, key: kms.IKey, *actions: str) -> iam.PolicyStatement:
    """Use of the environment's key through Secrets Manager only: `kms:Decrypt` to read secrets."""
    return iam.PolicyStatement(
        sid="UseKeyForSecrets",
        actions=list(actions),
        resources=[key.key_arn],
        conditions={"StringEquals": {"kms:ViaService": f"secretsmanager.{config.region}.amazonaws.com"}},
    )


def _tasks_of(config: EnvironmentConfig) -> iam.IPrincipal:
    """Tasks of this account and region only: another account's cannot borrow the role."""
    return iam.ServicePrincipal(
        "ecs-tasks.amazonaws.com",
        conditions={
            "StringEquals": {"aws:SourceAccount": config.account},
            "ArnLike": {"aws:SourceArn": f"arn:aws:ecs:{config.region}:{config.account}:*"},
        },
    )
