"""Task definitions: what runs in a container, as whom, with which environment and secrets.

Each task first runs `migrate` to completion and only then its own process, so a release that cannot migrate never
serves. Only `migrate` holds the owner's credentials. The containers' environment is the contract with `service/`.
"""

from collections.abc import Mapping
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
from stages.security_groups import API_PORT, DATABASE_PORT

SERVICE_FOLDER = Path(__file__).parent.parent / "service"
#: Seconds between SIGTERM and SIGKILL: more than the service's drain takes.
STOP_TIMEOUT = 60
#: User and group of the processes, which own nothing in the image.
USER = "10001:10001"
TMP_MIB = 64


@dataclass(frozen=True, kw_only=True)
class TaskInputs:
    """What both kinds of task have in common."""

    config: EnvironmentConfig
    key: kms.IKey
    image: ecr_assets.DockerImageAsset
    secrets: SecretArns
    smoke_key: str
    """Complete ARN of the smoke checks' key."""
    database_host: str
    base_url: str
    migrate_logs: logs.ILogGroup


class PaymentTask(Construct):
    """The task definition of `api` or `worker`, its two roles, and its `migrate` container.

    Attributes:
        definition: the task definition.
        ready: what a service must depend on besides it, so that roles can do their work when the first task starts.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        kind: str,
        cpu: int,
        memory_mib: int,
        log_group: logs.ILogGroup,
        inputs: TaskInputs,
    ) -> None:
        super().__init__(scope, construct_id)
        self._kind, self._inputs = kind, inputs
        names = inputs.config.names
        execution = self._execution_role(log_group)
        task_role = iam.Role(
            self,
            "TaskRole",
            role_name=names.name(f"role-{kind}-task"),
            assumed_by=_tasks_of(inputs.config),
            description=f"The {kind} process itself: it calls no AWS API",
        )
        self.definition = ecs.FargateTaskDefinition(
            self,
            "Definition",
            family=names.name(f"ecs-task-{kind}"),
            cpu=cpu,
            memory_limit_mib=memory_mib,
            execution_role=execution.without_policy_updates(),
            task_role=task_role.without_policy_updates(),
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.X86_64, operating_system_family=ecs.OperatingSystemFamily.LINUX
            ),
        )
        migrate = self._migrate()
        main = self._main(log_group)
        main.add_container_dependencies(
            ecs.ContainerDependency(container=migrate, condition=ecs.ContainerDependencyCondition.SUCCESS)
        )
        acknowledge(
            self.definition,
            {
                "AwsSolutions-ECS2": "Only addresses, names and switches; what is secret comes from Secrets Manager. "
                "The variables are the documented contract with the service."
            },
        )

    def _migrate(self) -> ecs.ContainerDefinition:
        secrets = self._inputs.secrets
        owner, application = imported(self, "Owner", secrets.owner), imported(self, "AppRole", secrets.application)
        smoke = imported(self, "SmokeKey", self._inputs.smoke_key)
        return self._container(
            "migrate",
            essential=False,
            log_group=self._inputs.migrate_logs,
            environment={},
            secrets={
                "PGUSER": ecs.Secret.from_secrets_manager(owner, "username"),
                "PGPASSWORD": ecs.Secret.from_secrets_manager(owner, "password"),
                "APP_DB_USER": ecs.Secret.from_secrets_manager(application, "username"),
                "APP_DB_PASSWORD": ecs.Secret.from_secrets_manager(application, "password"),
                "SMOKE_KEY_ID": ecs.Secret.from_secrets_manager(smoke, "id"),
                "SMOKE_KEY_SECRET": ecs.Secret.from_secrets_manager(smoke, "secret"),
            },
        )

    def _main(self, log_group: logs.ILogGroup) -> ecs.ContainerDefinition:
        inputs = self._inputs
        application = imported(self, "Application", inputs.secrets.application)
        processor = imported(self, "Processor", inputs.secrets.processor)
        container = self._container(
            self._kind,
            essential=True,
            log_group=log_group,
            environment={
                "BIND_HOST": "0.0.0.0",  # noqa: S104 - the task's own interface, behind its security group
                "PORT": str(API_PORT),
                "PUBLIC_BASE_URL": inputs.base_url,
                "PROCESSOR": inputs.config.processor,
                "ALLOW_LIVE_KEYS": str(inputs.config.allow_live_keys).lower(),
            },
            secrets={
                "PGUSER": ecs.Secret.from_secrets_manager(application, "username"),
                "PGPASSWORD": ecs.Secret.from_secrets_manager(application, "password"),
                "STRIPE_API_KEY": ecs.Secret.from_secrets_manager(processor, "api_key"),
                "STRIPE_WEBHOOK_SECRET": ecs.Secret.from_secrets_manager(processor, "webhook_secret"),
            },
            health_check=ecs.HealthCheck(
                command=["CMD", "python", "-m", "payments.healthcheck"],
                interval=Duration.seconds(10),
                timeout=Duration.seconds(5),
                retries=3,
                start_period=Duration.seconds(30),
            ),
        )
        if self._kind == "api":
            container.add_port_mappings(ecs.PortMapping(container_port=API_PORT, name="https"))
        return container

    def _container(
        self,
        name: str,
        *,
        essential: bool,
        log_group: logs.ILogGroup,
        environment: Mapping[str, str],
        secrets: Mapping[str, ecs.Secret],
        health_check: ecs.HealthCheck | None = None,
    ) -> ecs.ContainerDefinition:
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
            command=["python", "-m", "payments", name],
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

    def _execution_role(self, log_group: logs.ILogGroup) -> iam.Role:
        inputs, names = self._inputs, self._inputs.config.names
        role = iam.Role(
            self,
            "ExecutionRole",
            role_name=names.name(f"role-{self._kind}-execution"),
            assumed_by=_tasks_of(inputs.config),
            description=f"Starts {self._kind} tasks: pulls the image, injects secrets, writes logs",
        )
        secrets = inputs.secrets
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
                    resources=[log_group.log_group_arn, inputs.migrate_logs.log_group_arn],
                ),
                iam.PolicyStatement(
                    sid="ReadOwnSecrets",
                    actions=["secretsmanager:GetSecretValue"],
                    resources=[secrets.owner, secrets.application, secrets.processor, inputs.smoke_key],
                ),
                decrypt_secrets(inputs.config, inputs.key),
            ],
        )
        return role


def decrypt_secrets(config: EnvironmentConfig, key: kms.IKey) -> iam.PolicyStatement:
    """Use of the environment's key to read secrets, through Secrets Manager only."""
    return iam.PolicyStatement(
        sid="DecryptSecrets",
        actions=["kms:Decrypt"],
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
