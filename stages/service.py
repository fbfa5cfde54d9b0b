"""Service stack: the containers, the way in, the scaling, and the alarms that roll a bad release back."""

from aws_cdk import CfnOutput, Duration, Environment, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk import aws_sns as sns
from constructs import Construct

from stages import canary, deployment_alarms
from stages.canary import Canary
from stages.config import EnvironmentConfig
from stages.deployment_alarms import add_deployment_alarms
from stages.encryption import key_as_is
from stages.firewall import Firewall
from stages.ingress import Ingress
from stages.log_groups import DeclaredLogGroup
from stages.metrics import ServiceMetrics
from stages.scaling import scale_api, scale_worker
from stages.secrets import LiveKey, SecretArns, SmokeKey
from stages.security_groups import API_PORT, SecurityGroups, as_is
from stages.smoke_access import SmokeReader
from stages.task_definition import SERVICE_FOLDER, TaskInputs
from stages.tasks import AdminTask, PaymentTask


class ServiceStack(Stack):
    """Two services from one image, `api` behind the load balancer and `worker` behind nothing, and `admin` tasks."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: EnvironmentConfig,
        key: kms.IKey,
        vpc: ec2.IVpc,
        groups: SecurityGroups,
        database: rds.IDatabaseCluster,
        secrets: SecretArns,
        alarm_topic: sns.ITopic,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=config.names.stack("service"),
            description=f"Payment API, {config.environment_suffix}: containers and ingress",
            env=Environment(account=config.account, region=config.region),
        )
        key = key_as_is(self, key)
        self._config, self._key = config, key
        ingress = Ingress(self, "Ingress", config=config, key=key, vpc=vpc, group=groups.alb)
        Firewall(self, "Firewall", config=config, key=key, load_balancer_arn=ingress.load_balancer.load_balancer_arn)
        trial = None
        if config.uses_canary:
            trial = Canary(self, "Canary", config=config, ingress=ingress, vpc=vpc, alarm_topic=alarm_topic)
        target_groups = {"primary": ingress.target_group} | ({"alternate": trial.alternate} if trial else {})
        self.metrics = ServiceMetrics(
            config=config,
            load_balancer=ingress.load_balancer,
            target_group=ingress.target_group,
            database=database,
        )
        guards = add_deployment_alarms(
            self, metrics=self.metrics, target_groups=target_groups, config=config, topic=alarm_topic
        )
        self._cluster = self._make_cluster(vpc)
        smoke_key = SmokeKey(self, "SmokeKey", config=config, key=key)
        inputs = TaskInputs(
            config=config,
            key=key,
            image=ecr_assets.DockerImageAsset(
                self, "Image", directory=str(SERVICE_FOLDER), platform=ecr_assets.Platform.LINUX_AMD64
            ),
            secrets=secrets,
            smoke_key=smoke_key.secret_arn,
            database_host=database.cluster_endpoint.hostname,
            base_url=ingress.base_url,
            migrate_logs=self._logs("Migrate", config.names.migrate_logs),
        )
        api = self._api(inputs, as_is(self, "ApiGroup", groups.api), guards, trial)
        target = api.load_balancer_target(
            container_name="api", container_port=API_PORT, alternate_target=trial.target if trial else None
        )
        target.attach_to_application_target_group(ingress.target_group)
        scale_api(api, config=config, target_groups=list(target_groups.values()))
        worker = self._worker(inputs, as_is(self, "WorkerGroup", groups.worker))
        scale_worker(worker, config=config)
        SmokeReader(self, "SmokeReader", config=config, key=key, secret_arn=smoke_key.secret_arn)
        self._outputs(ingress, smoke_key)
        self._admin(inputs)

    def _outputs(self, ingress: Ingress, smoke_key: SmokeKey) -> None:
        self.api_url = CfnOutput(self, "ApiUrl", value=ingress.base_url, description="Base URL of the API")
        self.alb_dns_name = CfnOutput(
            self,
            "AlbDnsName",
            value=ingress.load_balancer.load_balancer_dns_name,
            description="The load balancer's own host name",
        )
        self.smoke_key_secret_arn = CfnOutput(
            self, "SmokeKeySecretArn", value=smoke_key.secret_arn, description="Secret with the smoke checks' API key"
        )

    def _admin(self, inputs: TaskInputs) -> None:
        """The task for administrators' commands, and what `aws ecs run-task` wants to know besides its network."""
        key = LiveKey(self, "LiveKey", config=self._config, key=self._key)
        task = AdminTask(
            self,
            "AdminTask",
            log_group=self._logs("Admin", self._config.names.admin_logs),
            live_key=key.secret_arn,
            inputs=inputs,
        )
        for name, value, description in (
            ("AdminCluster", self._cluster.cluster_name, "Cluster for administrators' commands"),
            ("AdminTaskDefinition", task.definition.task_definition_arn, "Their task definition"),
            ("LiveKeySecretArn", key.secret_arn, "Secret into which they leave API keys"),
        ):
            CfnOutput(self, name, value=value, description=description)

    def _make_cluster(self, vpc: ec2.IVpc) -> ecs.Cluster:
        names = self._config.names
        logs = self._logs("ContainerInsights", names.container_insights_logs)
        cluster = ecs.Cluster(
            self,
            "Cluster",
            cluster_name=names.cluster,
            vpc=vpc,
            container_insights_v2=ecs.ContainerInsights.ENHANCED,
        )
        cluster.node.add_dependency(logs)  # or Container Insights makes the group itself, for ever
        return cluster

    def _logs(self, construct_id: str, name: str) -> DeclaredLogGroup:
        return DeclaredLogGroup(self, f"{construct_id}Logs", name=name, config=self._config, key=self._key)

    def _api(
        self, inputs: TaskInputs, group: ec2.ISecurityGroup, guards: list[cloudwatch.Alarm], trial: Canary | None
    ) -> ecs.FargateService:
        capacity, names = self._config.capacity, self._config.names
        task = PaymentTask(
            self,
            "ApiTask",
            kind="api",
            cpu=capacity.api_cpu,
            memory_mib=capacity.api_memory_mib,
            log_group=self._logs("Api", names.api_logs),
            inputs=inputs,
        )
        return self._service(
            "Api",
            name=names.name("ecs-service-api"),
            task=task,
            group=group,
            guards=guards,
            trial=trial,
            # A task registers while its migrations may still wait two minutes for the database.
            health_check_grace_period=Duration.seconds(180),
        )

    def _worker(self, inputs: TaskInputs, group: ec2.ISecurityGroup) -> ecs.FargateService:
        capacity, names = self._config.capacity, self._config.names
        task = PaymentTask(
            self,
            "WorkerTask",
            kind="worker",
            cpu=capacity.worker_cpu,
            memory_mib=capacity.worker_memory_mib,
            log_group=self._logs("Worker", names.worker_logs),
            inputs=inputs,
        )
        return self._service("Worker", name=names.name("ecs-service-worker"), task=task, group=group, guards=[])

    def _service(
        self,
        construct_id: str,
        *,
        name: str,
        task: PaymentTask,
        group: ec2.ISecurityGroup,
        guards: list[cloudwatch.Alarm],
        trial: Canary | None = None,
        health_check_grace_period: Duration | None = None,
    ) -> ecs.FargateService:
        alarms = None
        if guards:  # by physical name: a reference would make service and alarm depend on each other
            alarms = ecs.DeploymentAlarmConfig(
                alarm_names=[self._config.names.name(f"alarm-{guard}") for guard in deployment_alarms.NAMES],
                behavior=ecs.AlarmBehavior.ROLLBACK_ON_ALARM,
            )
        service = ecs.FargateService(
            self,
            construct_id,
            service_name=name,
            cluster=self._cluster,
            task_definition=task.definition,
            platform_version=ecs.FargatePlatformVersion.LATEST,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            security_groups=[group],
            assign_public_ip=False,
            min_healthy_percent=100,
            max_healthy_percent=200,
            deployment_strategy=canary.STRATEGY if trial else None,
            canary_configuration=canary.SHIFT if trial else None,
            bake_time=canary.BAKE_TIME if trial else None,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            deployment_alarms=alarms,
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.ENABLED,
            health_check_grace_period=health_check_grace_period,
            enable_execute_command=False,
            enable_ecs_managed_tags=True,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
        service.node.add_dependency(task.ready, *guards, *([trial.ready] if trial else []))
        return service
