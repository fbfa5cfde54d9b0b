"""The three task definitions: `api` and `worker`, which services keep running, and `admin`, which people run.

Each task of a service first runs `migrate` to completion and only then its own process, which exits at once if the
schema is older than it needs, so a release that cannot migrate never serves. Only `migrate` holds the owner's
credentials.
"""

from aws_cdk import Duration
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_logs as logs
from constructs import Construct

from kit.policies import allow, grant
from stages.database.credentials import import_secret
from stages.network.security_groups import API_PORT
from stages.service.task_definition import Task, TaskInputs, use_key_for_secrets

#: CPU units and MiB: enough for every command on a small ledger; `aws ecs run-task --overrides` can raise them.
ADMIN_CPU, ADMIN_MEMORY_MIB = 256, 512


class PaymentTask(Task):
    """The task of `api` or `worker`: its process after its `migrate` container."""

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
        arns = inputs.credentials
        super().__init__(
            scope,
            construct_id,
            kind=kind,
            role_description="it calls no AWS API",
            cpu=cpu,
            memory_mib=memory_mib,
            log_groups=[log_group, inputs.migrate_logs],
            secrets=[arns.owner, arns.application, arns.processor, inputs.smoke_key],
            inputs=inputs,
        )
        migrate = self._migrate()
        main = self._main(log_group)
        # Not SUCCESS: the dependent container was seen to stay PENDING for hours, which the circuit breaker does not
        # count (docs/decisions/0109-schema-version.md).
        main.add_container_dependencies(
            ecs.ContainerDependency(container=migrate, condition=ecs.ContainerDependencyCondition.COMPLETE)
        )

    def _migrate(self) -> ecs.ContainerDefinition:
        arns = self._inputs.credentials
        owner = import_secret(self, "Owner", arns.owner)
        application = import_secret(self, "AppRole", arns.application)
        smoke = import_secret(self, "SmokeKey", self._inputs.smoke_key)
        return self.add_container(
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
        container = self.add_container(
            self._kind,
            essential=True,
            log_group=log_group,
            environment={
                "BIND_HOST": "0.0.0.0",  # noqa: S104 - the task's own network interface, behind its security group
                "PORT": str(API_PORT),
                **self.application_environment(),
            },
            secrets=self.application_secrets(),
            health_check=ecs.HealthCheck(
                command=["CMD", "python", "-m", "payments.healthcheck", self._kind],
                interval=Duration.seconds(10),
                timeout=Duration.seconds(5),
                retries=3,
                start_period=Duration.seconds(30),
            ),
        )
        if self._kind == "api":
            container.add_port_mappings(ecs.PortMapping(container_port=API_PORT, name="https"))
        return container


class AdminTask(Task):
    """One administrator's command, run with `aws ecs run-task`; by default it lists stuck attempts.

    It uses the application's credentials: no command needs the owner's. It is the only task that may write a secret,
    the one in which it stores API keys.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        log_group: logs.ILogGroup,
        live_key: str,
        inputs: TaskInputs,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            kind="admin",
            role_description="it stores API keys in one secret",
            cpu=ADMIN_CPU,
            memory_mib=ADMIN_MEMORY_MIB,
            log_groups=[log_group],
            secrets=[inputs.credentials.application, inputs.credentials.processor],
            inputs=inputs,
        )
        grant(
            self.task_role,
            name=inputs.config.names.name("policy-admin-task"),
            statements=[
                allow("LeaveApiKeys", ["secretsmanager:PutSecretValue"], [live_key]),
                use_key_for_secrets(inputs.config, inputs.key, "kms:Decrypt", "kms:GenerateDataKey"),
            ],
        )
        self.add_container(
            "admin",
            command=["stuck"],
            essential=True,
            log_group=log_group,
            environment=self.application_environment(),
            secrets=self.application_secrets(),
        )
